#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "parallel/communicator.h"
#include "parallel/rank_trace.h"

namespace polymath::parallel {
namespace {

using tensor::DType;
using tensor::Tensor;

TEST(SliceOf, SharesAnAxis) {
  const struct {
    int64_t elements, unit;
    Rank rank;
    int64_t begin, count;
  } cases[] = {
      {64, 0, {2, 1}, 0, 64},  // replicated
      {64, 16, {2, 1}, 32, 32},
      {64, 16, {4, 3}, 48, 16},
      {32, 16, {4, 0}, 0, 16},  // two heads over four ranks:
                                // neighbours share one
      {32, 16, {4, 1}, 0, 16},
      {32, 16, {4, 2}, 16, 16},
      {32, 16, {4, 3}, 16, 16},
      {16, 16, {2, 1}, 0, 16},
      {7, 1, {1, 0}, 0, 7},
  };
  for (const auto& c : cases) {
    const Slice s = slice_of(c.elements, {c.unit}, c.rank);
    EXPECT_EQ(s.begin, c.begin) << c.elements << " rank " << c.rank.at << " of " << c.rank.size;
    EXPECT_EQ(s.count, c.count);
  }
  EXPECT_FALSE(divides(3, {2, 0}));
  EXPECT_TRUE(divides(1, {2, 0}));
}

void on_every_rank(int size, const std::function<void(Communicator&)>& body) {
  auto group = host_communicators(size);
  std::vector<std::thread> threads;
  for (auto& c : group) threads.emplace_back([&body, &c] { body(*c); });
  for (auto& t : threads) t.join();
}

std::vector<float> part_of(int rank) {
  std::vector<float> x(37);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * static_cast<float>(rank + 1) + static_cast<float>(i);
  return x;
}

std::vector<float> sum_of_parts(int size) {
  std::vector<float> sum(37);
  for (int r = 0; r < size; ++r) {
    const std::vector<float> part = part_of(r);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  return sum;
}

TEST(HostCommunicator, SumsInOrderOfTheRanks) {
  for (const int size : {1, 2, 3, 4}) {
    on_every_rank(size, [&](Communicator& c) {
      for (int round = 0; round < 50; ++round) {
        std::vector<float> x = part_of(c.rank().at);
        c.all_reduce_sum({DType::kF32, {37}, x.data()});
        ASSERT_EQ(x, sum_of_parts(size));
      }
    });
  }
}

TEST(Stages, ShareTheLayers) {
  EXPECT_EQ(even_stages(8, 2), (std::vector<int>{4, 4}));
  EXPECT_EQ(even_stages(7, 3), (std::vector<int>{2, 3, 2}));
  EXPECT_EQ(even_stages(8, 3), (std::vector<int>{3, 3, 2}));
  EXPECT_EQ(even_stages(3, 3), (std::vector<int>{1, 1, 1}));
  const std::vector<Stage> stages = stages_of({3, 2});
  ASSERT_EQ(stages.size(), 2u);
  EXPECT_TRUE(stages[0].first() && !stages[0].last() && stages[0].has_layer(2) && !stages[0].has_layer(3));
  EXPECT_TRUE(!stages[1].first() && stages[1].last() && stages[1].has_layer(3) && !stages[1].has_layer(5));
  const Stage whole = stages_of({}).front();
  EXPECT_TRUE(whole.first() && whole.last() && whole.has_layer(0) && whole.has_layer(1000));
}

TEST(HostCommunicator, PassesMessagesOn) {
  on_every_rank(2, [](Communicator& c) {
    std::vector<float> x(6);
    const Tensor message{DType::kF32, {2, 3}, x.data()};
    for (int round = 0; round < 200; ++round) {
      if (c.rank().first()) {
        std::fill(x.begin(), x.end(), static_cast<float>(round));
        c.send(message, 1);
      } else {
        c.receive(message, 0);
        ASSERT_EQ(x, std::vector<float>(6, static_cast<float>(round)));
      }
    }
    EXPECT_TRUE(c.health().ok());
  });
}

TEST(HostCommunicator, RefusesTensorsThatDiffer) {
  on_every_rank(3, [](Communicator& c) {
    std::vector<float> x(6);
    c.all_reduce_sum({DType::kF32, {c.rank().at == 1 ? 5 : 6}, x.data()});
    EXPECT_EQ(c.health().message(), "the parts of a sum differ: rank 0 gave [6], rank 1 gave [5]");
    c.all_reduce_sum({DType::kF32, {6}, x.data()});  // returns at once
  });
  on_every_rank(2, [](Communicator& c) {
    std::vector<float> x(6);
    if (c.rank().first()) {
      c.send({DType::kF32, {2, 3}, x.data()}, 1);
    } else {
      c.receive({DType::kF32, {2, 2}, x.data()}, 0);
    }
    EXPECT_EQ(c.health().message(), "a message does not fit: rank 0 gave [2, 3], rank 1 expects [2, 2]");
  });
}

// Every rank but the last waits for it in vain.
TEST(HostCommunicator, AbortEndsTheWaits) {
  const std::function<void(Communicator&, const Tensor&)> operations[] = {
      [](Communicator& c, const Tensor& x) { c.all_reduce_sum(x); },
      [](Communicator& c, const Tensor& x) { c.send(x, 2); },
      [](Communicator& c, const Tensor& x) { c.receive(x, 2); },
  };
  for (const auto& operation : operations) {
    on_every_rank(3, [&](Communicator& c) {
      std::vector<float> x(6);
      if (c.rank().at == 2) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        c.abort(absl::InternalError("rank 2 failed"));
        c.abort(absl::InternalError("too late"));
      } else {
        operation(c, {DType::kF32, {6}, x.data()});
      }
      EXPECT_EQ(c.health().message(), "rank 2 failed");
    });
  }
}

TEST(RankTrace, NotesWhatARankDoes) {
  RankTrace trace;
  EXPECT_EQ(trace.now().text(), "between two steps");
  trace.enter(Activity::kEmbedding);
  EXPECT_EQ(trace.now().text(), "in the embedding");
  trace.enter(Activity::kAttention, 2047);
  const RankTrace::State before = trace.now();
  EXPECT_EQ(before.text(), "in the attention, layer 2047");
  trace.enter(Activity::kAttention);
  EXPECT_FALSE(trace.now() == before);
  EXPECT_EQ(trace.enter(Activity::kIdle), Activity::kAttention);
  EXPECT_EQ(trace.now().text(), "between two steps");
}

TEST(RankTrace, CountsCommunication) {
  RankTrace traces[2];
  const std::atomic<RankFault> none{RankFault::kNone};
  auto group = host_communicators(2);
  std::vector<std::thread> threads;
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      const auto c = traced(std::move(group[static_cast<size_t>(r)]), traces[r], none);
      std::vector<float> x(6), all(12);
      c->all_reduce_sum({DType::kF32, {6}, x.data()});
      c->all_gather_cols({DType::kF32, {2, 3}, x.data()}, {DType::kF32, {2, 6}, all.data()});
      r == 0 ? c->send({DType::kF32, {6}, x.data()}, 1) : c->receive({DType::kF32, {6}, x.data()}, 0);
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(traces[0].totals().bytes_sent, 72);
  EXPECT_EQ(traces[1].totals().bytes_sent, 48);
  EXPECT_GT(traces[0].totals().communication_seconds, 0);
}

TEST(HostCommunicator, GathersColumns) {
  on_every_rank(3, [](Communicator& c) {
    std::vector<float> part = {10.0f * c.rank().at, 10.0f * c.rank().at + 1, 10.0f * c.rank().at + 100,
                               10.0f * c.rank().at + 101};
    std::vector<float> all(12);
    c.all_gather_cols({DType::kF32, {2, 2}, part.data()}, {DType::kF32, {2, 6}, all.data()});
    EXPECT_EQ(all, (std::vector<float>{0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121}));
  });
}

}  // namespace
}  // namespace polymath::parallel
