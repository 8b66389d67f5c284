#include "api/output_pool.h"

#include <gtest/gtest.h>

#include <mutex>

namespace polymath::api {
namespace {

// Counts what it was given; fails if two threads run it at once.
class Counting : public OutputJob {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++waiting_;
  }
  void run() override {
    EXPECT_FALSE(inside_.exchange(true));
    {
      const std::lock_guard lock(mutex_);
      taken_ += waiting_;
      waiting_ = 0;
    }
    inside_ = false;
  }
  int taken() const { return taken_; }

 private:
  std::mutex mutex_;
  int waiting_ = 0;
  std::atomic<int> taken_{0};
  std::atomic<bool> inside_{false};
};

TEST(OutputPool, NothingIsLostAndNothingRunsTwiceAtOnce) {
  constexpr int kJobs = 8, kThreads = 4, kEach = 5000;
  std::vector<std::shared_ptr<Counting>> jobs;
  for (int i = 0; i < kJobs; ++i) jobs.push_back(std::make_shared<Counting>());
  {
    OutputPool pool(3);
    std::vector<std::thread> producers;
    for (int t = 0; t < kThreads; ++t) {
      producers.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) {
          jobs[i % kJobs]->add();
          pool.schedule(jobs[i % kJobs]);
        }
      });
    }
    for (std::thread& producer : producers) producer.join();
  }
  int total = 0;
  for (const auto& job : jobs) total += job->taken();
  EXPECT_EQ(total, kThreads * kEach);
}

}  // namespace
}  // namespace polymath::api
