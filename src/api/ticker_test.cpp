#include "api/ticker.h"

#include <gtest/gtest.h>

namespace polymath::api {
namespace {

class Counting : public OutputJob {
 public:
  void run() override { ++runs; }
  std::atomic<int> runs{0};
};

bool reaches(const std::atomic<int>& number, int least) {
  for (int i = 0; i < 1000 && number < least; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return number >= least;
}

TEST(Ticker, RunsJobsAgainAndAgainAndKeepsNoneAlive) {
  OutputPool pool(2);
  Ticker ticker(pool, 0.001);
  auto a = std::make_shared<Counting>(), b = std::make_shared<Counting>();
  ticker.add(a);
  ticker.add(b);
  EXPECT_TRUE(reaches(a->runs, 3));
  const std::weak_ptr<Counting> gone = a;
  a.reset();
  const int seen = b->runs;
  EXPECT_TRUE(reaches(b->runs, seen + 3));
  EXPECT_TRUE(gone.expired());
}

TEST(Ticker, EndsAtOnceHoweverSlowlyItTicks) {
  OutputPool pool(1);
  Ticker ticker(pool, 3600);
  ticker.add(std::make_shared<Counting>());
}

}  // namespace
}  // namespace polymath::api
