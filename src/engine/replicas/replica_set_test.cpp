#include "engine/replicas/replica_set.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/harness_test.h"

namespace polymath::engine {
namespace {

struct Replicas {
  explicit Replicas(int n, EngineOptions o = {}) {
    o = Harness::fill(o);
    o.metrics.n_engines = n;
    std::vector<Engine*> all;
    for (int r = 0; r < n; ++r) {
      o.metrics.engine = r;
      models.push_back(std::make_unique<FakeModel>(kVocab, o.block_size, FakeModel::Caches{o.n_blocks, 0},
                                                   std::max(o.sequences_max, o.logit_rows_max)));
      engines.push_back(std::make_unique<Engine>(*models.back(), o, registry));
      all.push_back(engines.back().get());
    }
    set = std::make_unique<ReplicaSet>(all, o.block_size);
  }
  void start() {
    for (auto& engine : engines) engine->start();
  }
  int live(int r) const { return engines[static_cast<size_t>(r)]->stats().live; }

  base::MetricsRegistry registry;
  std::vector<std::unique_ptr<FakeModel>> models;
  std::vector<std::unique_ptr<Engine>> engines;
  std::unique_ptr<ReplicaSet> set;
};

TEST(ReplicaSet, AnswersAsOneEngine) {
  Replicas one(1), three(3);
  one.start();
  three.start();
  std::set<RequestId> ids;
  std::vector<std::pair<std::shared_ptr<Recorder>, std::shared_ptr<Recorder>>> sinks;
  for (int i = 0; i < 40; ++i) {
    sinks.emplace_back(std::make_shared<Recorder>(), std::make_shared<Recorder>());
    ASSERT_TRUE(one.set->submit(greedy(5 + i, i, 12, sinks.back().first)).ok());
    const auto id = three.set->submit(greedy(5 + i, i, 12, sinks.back().second));
    ASSERT_TRUE(id.ok());
    EXPECT_TRUE(ids.insert(*id).second);
  }
  for (const auto& [a, b] : sinks) {
    EXPECT_EQ(a->wait().reason, FinishReason::kLength);
    EXPECT_EQ(b->wait().reason, FinishReason::kLength);
    EXPECT_EQ(a->tokens(), b->tokens());
  }
  for (const auto& engine : three.engines) EXPECT_GT(engine->stats().generated_tokens, 0u);
  three.set->drain(10);
  const EngineStats stats = three.set->stats();
  EXPECT_EQ(stats.generated_tokens, 40u * 12);
  EXPECT_EQ(stats.live + stats.running + stats.waiting, 0);
  EXPECT_EQ(three.set->submit(greedy(5, 1, 3, std::make_shared<Recorder>())).status().code(),
            absl::StatusCode::kUnavailable);
  const std::string page = three.registry.render();
  for (const char* engine : {"0", "1", "2"}) {
    EXPECT_NE(page.find(absl::StrCat("vllm:num_requests_running{engine=\"", engine, "\"")), std::string::npos);
  }
}

TEST(ReplicaSet, ComesBackToAPrefix) {
  Replicas two(2);
  two.start();
  for (int turn = 0; turn < 5; ++turn) {
    for (int talk = 0; talk < 2; ++talk) {
      const auto sink = std::make_shared<Recorder>();
      ASSERT_TRUE(two.set->submit(greedy(64 + 16 * turn, talk, 2, sink)).ok());
      EXPECT_EQ(sink->wait().cached_tokens > 0, turn > 0) << "turn " << turn << ", talk " << talk;
    }
  }
  for (const auto& engine : two.engines) EXPECT_GT(engine->stats().prompt_tokens_cached, 0u);
}

TEST(ReplicaSet, PassesOnWhatOneHasNoRoomFor) {
  Replicas two(2, {.sequences_max = 1, .waiting_max = 1});  // not started: all wait
  std::vector<std::shared_ptr<Recorder>> sinks;
  for (int i = 0; i < 4; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    ASSERT_TRUE(two.set->submit(greedy(32, 0, 2, sinks.back())).ok()) << i;  // one prefix
  }
  EXPECT_EQ(two.live(0), 2);
  EXPECT_EQ(two.live(1), 2);
  EXPECT_EQ(two.set->reserve().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(two.set->submit(greedy(32, 0, 2, std::make_shared<Recorder>())).status().code(),
            absl::StatusCode::kResourceExhausted);
  two.start();
  for (const auto& sink : sinks) EXPECT_EQ(sink->wait().reason, FinishReason::kLength);
}

TEST(ReplicaSet, LeavesAPlaceForAnotherReplicasPrefix) {
  Replicas two(2, {.sequences_max = 1, .waiting_max = 1});
  two.start();
  const auto first = std::make_shared<Recorder>();
  ASSERT_TRUE(two.set->submit(greedy(64, 3, 2, first)).ok());  // to replica 0
  first->wait();
  auto place = two.set->reserve();  // at replica 1, which was chosen less often
  ASSERT_TRUE(place.ok());
  const auto second = std::make_shared<Recorder>();
  std::vector<Request> requests{greedy(80, 3, 2, second)};
  ASSERT_TRUE(two.set->submit(std::move(requests), place->get()).ok());
  EXPECT_GT(second->wait().cached_tokens, 0);
  for (const auto& engine : two.engines) {  // both places of each are free
    auto a = engine->reserve(), b = engine->reserve();
    EXPECT_TRUE(a.ok() && b.ok());
  }
}

TEST(ReplicaSet, CancelsByIdAndEndsWithAFailure) {
  Replicas two(2);
  two.engines[1]->fail_at_step(40);
  two.start();
  std::vector<std::shared_ptr<Recorder>> sinks;
  std::vector<RequestId> ids;
  for (int i = 0; i < 4; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    const auto id = two.set->submit(greedy(20, 10 + i, 300, sinks.back()));
    ASSERT_TRUE(id.ok());
    ids.push_back(*id);
  }
  EXPECT_TRUE(two.set->healthy());
  EXPECT_TRUE(two.set->responds());
  two.set->cancel(ids[0]);
  EXPECT_EQ(sinks[0]->wait().reason, FinishReason::kCancelled);
  EXPECT_EQ(sinks[1]->wait().reason, FinishReason::kError);  // replica 1
  EXPECT_EQ(sinks[2]->wait().reason, FinishReason::kLength);
  EXPECT_EQ(sinks[3]->wait().reason, FinishReason::kError);
  EXPECT_FALSE(two.set->healthy());
  const auto last = std::make_shared<Recorder>();
  ASSERT_TRUE(two.set->submit(greedy(20, 30, 2, last)).ok()) << "the other one still takes requests";
  EXPECT_EQ(last->wait().reason, FinishReason::kLength);
}

}  // namespace
}  // namespace polymath::engine
