#include "model/rank_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "backend/backend.h"
#include "base/clock.h"

namespace polymath::model {
namespace {

using parallel::Activity;
using Job = RankThreads::Job;

struct Ranks {
  explicit Ranks(size_t n, double timeout_s) : backend(*backend::make_backend("reference", {.threads = 1})), traces(n) {
    std::vector<RankThreads::Member> members;
    for (size_t r = 0; r < n; ++r) members.push_back({backend.get(), &traces[r], "rank " + std::to_string(r)});
    threads =
        std::make_unique<RankThreads>(std::move(members), timeout_s, [this](const absl::Status&) { over = true; });
  }
  uint64_t post(Job job) { return threads->post(std::make_shared<const Job>(std::move(job))); }
  // A wait for another rank, which the group's failure ends.
  void wait_for_the_end() const {
    while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::unique_ptr<backend::Backend> backend;
  std::vector<parallel::RankTrace> traces;
  std::atomic<bool> over{false};
  std::unique_ptr<RankThreads> threads;
};

TEST(RankThreads, RunsJobsInOrderOnEveryRank) {
  Ranks ranks(3, 1);
  std::vector<std::vector<int>> seen(3);
  uint64_t last = 0;
  for (int i = 0; i < 40; ++i) {
    last = ranks.post([&seen, i](size_t rank, size_t) {
      seen[rank].push_back(i);
      return absl::OkStatus();
    });
  }
  EXPECT_TRUE(ranks.threads->wait(last).ok());
  for (const auto& of_rank : seen) {
    ASSERT_EQ(of_rank.size(), 40u);
    EXPECT_TRUE(std::is_sorted(of_rank.begin(), of_rank.end()));
  }
}

TEST(RankThreads, AFailureEndsTheGroupAndNamesTheRank) {
  Ranks ranks(3, 5);
  const uint64_t ticket = ranks.post([&](size_t rank, size_t) -> absl::Status {
    ranks.traces[rank].enter(Activity::kAttention, 7);
    if (rank == 1) return absl::InternalError("the device is gone");
    ranks.traces[rank].enter(Activity::kSum);
    ranks.wait_for_the_end();
    return absl::CancelledError("");
  });
  const absl::Status status = ranks.threads->wait(ticket);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "rank 1, in the attention, layer 7: the device is gone");
  EXPECT_EQ(ranks.threads->wait(ranks.post([](size_t, size_t) { return absl::OkStatus(); })), status);
}

TEST(RankThreads, ARankWithoutProgressIsStuck) {
  Ranks ranks(2, 0.3);
  const double begin = base::steady_seconds();
  const uint64_t ticket = ranks.post([&](size_t rank, size_t) -> absl::Status {
    ranks.traces[rank].enter(rank == 0 ? Activity::kReceive : Activity::kFeedForward, 2);
    ranks.wait_for_the_end();
    return absl::OkStatus();
  });
  const absl::Status status = ranks.threads->wait(ticket);
  EXPECT_EQ(status.message(), "rank 1, in the feed-forward part, layer 2: no progress for 0.3 s or more");
  EXPECT_LT(base::steady_seconds() - begin, 3);
}

TEST(RankThreads, RanksThatAllWaitAreStuck) {
  Ranks ranks(2, 0.3);
  const uint64_t ticket = ranks.post([&](size_t rank, size_t) -> absl::Status {
    ranks.traces[rank].enter(rank == 0 ? Activity::kReceive : Activity::kSum, 2);
    ranks.wait_for_the_end();
    return absl::OkStatus();
  });
  EXPECT_EQ(ranks.threads->wait(ticket).message(),
            "no rank made progress for 0.3 s: rank 0, receiving from the stage before, layer 2; rank 1, in a sum over "
            "its group, layer 2");
}

// A rank may wait for long, and work for long, as long as its group goes on.
TEST(RankThreads, SlowRanksAreNotStuck) {
  Ranks ranks(2, 0.4);
  const uint64_t ticket = ranks.post([&](size_t rank, size_t) -> absl::Status {
    if (rank == 0) {
      ranks.traces[0].enter(Activity::kReceive, 0);
      std::this_thread::sleep_for(std::chrono::milliseconds(1200));
      return absl::OkStatus();
    }
    for (int layer = 0; layer < 12; ++layer) {
      ranks.traces[1].enter(Activity::kAttention, layer);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(ranks.threads->wait(ticket).ok());
}

}  // namespace
}  // namespace polymath::model
