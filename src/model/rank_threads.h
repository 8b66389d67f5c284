#pragma once

// A thread a rank, and the watch over them.
//
//   RankThreads threads(members, timeout_s, [&](const absl::Status& s) { ...end the ranks' waits for each other... });
//   const uint64_t ticket = threads.post(job);      // every rank runs it, after what was posted before
//   RETURN_IF_ERROR(threads.wait(ticket));          // the first error of any rank
//
// A rank that fails ends the group: what was posted is dropped, and every wait returns the failure. So does a rank
// whose trace rests for the timeout, unless it waits for others that go on. A rank that was slow before gets more time.
//
// Thread safety: one thread posts and waits.

#include <array>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "parallel/rank_trace.h"

namespace polymath::model {

class RankThreads {
 public:
  struct Member {
    backend::Backend* backend = nullptr;  // null: the rank is on another node
    const parallel::RankTrace* trace = nullptr;
    std::string name;  // "rank 3 (stage 1 of 2)"
  };
  using Job = std::function<absl::Status(size_t rank, size_t slot)>;
  static constexpr size_t kJobsMax = 64;  // posted and not done; more: CHECK

  // `timeout_s` 0: no watch. `on_failure` runs once, on the thread that sees the failure. Backends and traces outlive
  // this.
  RankThreads(std::vector<Member> members, double timeout_s, std::function<void(const absl::Status&)> on_failure);
  // Ends the process if a rank is stuck: its thread still uses what is about to be destroyed.
  ~RankThreads();

  // `slot` is given to the job. Returns at once.
  uint64_t post(std::shared_ptr<const Job> job, size_t slot = 0);
  absl::Status wait(uint64_t ticket);
  // Without the watch: for jobs that allocate or capture, and show no progress.
  absl::Status wait_unwatched(uint64_t ticket);

 private:
  struct Posted {
    std::shared_ptr<const Job> job;
    size_t slot = 0;
  };
  struct Watched {
    parallel::RankTrace::State state;  // when it changed last
    double rested = 0;                 // seconds since
    double longest = 0;                // that an activity took
  };

  void work(size_t rank);
  void run_next(size_t rank, std::unique_lock<std::mutex>& lock);
  void fail(const absl::Status& status, std::unique_lock<std::mutex>& lock);
  absl::Status wait_for(uint64_t ticket, bool watched);
  bool done(uint64_t ticket) const;
  absl::Status look(double elapsed);
  std::string describe(size_t rank) const;

  const std::vector<Member> members_;
  const double timeout_s_;
  const std::function<void(const absl::Status&)> on_failure_;

  std::mutex mutex_;  // of all below it
  std::condition_variable work_, changed_;
  std::array<Posted, kJobsMax> posted_;
  uint64_t n_posted_ = 0;
  std::vector<uint64_t> n_done_;  // by rank
  std::vector<Watched> watched_;  // by rank
  absl::Status failure_;
  bool stopping_ = false;
  size_t n_ended_ = 0;  // threads
  std::vector<std::thread> threads_;
};

}  // namespace polymath::model
