#include "plan/memory_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "weights/model_files.h"

namespace polymath::plan {
namespace {

constexpr int64_t kMi = int64_t{1} << 20, kGi = int64_t{1} << 30;

// A small model of our own config kind; nothing of it is ever loaded here.
class MemoryPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto json = base::parse_json(
        R"({"architectures": ["PolymathMoeForCausalLM"], "hidden_size": 64, "vocab_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "moe_intermediate_size": 32, "shared_intermediate_size": 16,
            "routing": {"n_experts": 8, "name": "softmax_topk", "top_k": 2}})",
        {});
    config_ = *model::parse_config(*json);
    checkpoint_ = weights::dummy_checkpoint(1, tensor::DType::kF32);
  }

  Planner planner(int ranks = 1) {
    std::vector<const backend::Backend*> backends;
    for (int rank = 0; rank < ranks; ++rank) {
      backends_.push_back(*backend::make_backend("reference", {}));
      backends.push_back(backends_.back().get());
    }
    return *Planner::create({config_, *checkpoint_, load_}, backends);
  }
  // Of a host with `available` bytes.
  static PlanRequest request(int64_t available) {
    return {.step = {.tokens_max = 64, .seqs_max = 4, .logit_rows_max = 4, .blocks_max = 16},
            .cache = {.block_size = 16, .type = {tensor::DType::kF32, {}}},
            .model_len = 256,
            .memory = {.available = available}};
  }

  model::ModelConfig config_;
  std::unique_ptr<weights::Checkpoint> checkpoint_;
  model::LoadOptions load_{.dtype = tensor::DType::kF32, .model_len = 256};
  std::vector<std::unique_ptr<backend::Backend>> backends_;
};

TEST_F(MemoryPlanTest, TakesNoMoreBlocksThanCanBeUsed) {
  const MemoryPlan plan = planner().plan(request(64 * kGi));
  EXPECT_EQ(plan.n_blocks, 4 * 16 + 1);  // every sequence at full length
  EXPECT_EQ(plan.tokens, plan.n_blocks * 16);
  EXPECT_EQ(plan.kv_cache(), plan.n_blocks * plan.kv_block_bytes);
  EXPECT_EQ(plan.kv_bytes_max, 4 * kGi);
  EXPECT_EQ(plan.left(), plan.memory.available - plan.weights - plan.scratch);
  EXPECT_TRUE(plan.fits());
}

TEST_F(MemoryPlanTest, TakesAShareOfAHostAndTheRestOfADevice) {
  const Planner p = planner();
  const MemoryPlan all = p.plan(request(64 * kGi));
  PlanRequest tight = request(all.weights + all.scratch + 10 * all.kv_block_bytes);
  EXPECT_EQ(p.plan(tight).n_blocks, 4);  // of ten
  EXPECT_TRUE(p.plan(tight).fits());
  tight.memory.is_device = true;
  const int64_t margin = p.plan(tight).margin;
  EXPECT_GE(margin, kGi);
  EXPECT_FALSE(p.plan(tight).fits());
  tight.memory.available += margin;
  EXPECT_EQ(p.plan(tight).n_blocks, 10);
  EXPECT_TRUE(p.plan(tight).fits());
}

TEST_F(MemoryPlanTest, KeepsToBytesAndBlocksThatWereAskedFor) {
  const Planner p = planner();
  PlanRequest r = request(kGi);
  r.kv_bytes = 8 * kMi;
  MemoryPlan plan = p.plan(r);
  EXPECT_EQ(plan.n_blocks, 8 * kMi / plan.kv_block_bytes);
  EXPECT_TRUE(plan.fits());
  r.kv_bytes = 2 * kGi;
  EXPECT_FALSE(p.plan(r).fits());
  r.kv_bytes = 0;
  r.cache.n_blocks = 3;
  plan = p.plan(r);
  EXPECT_EQ(plan.n_blocks, 3);
  EXPECT_TRUE(plan.fits());
  r.cache.n_blocks = 2 * kGi / plan.kv_block_bytes;
  EXPECT_FALSE(p.plan(r).fits());
}

TEST_F(MemoryPlanTest, NeedsRoomForOneSequence) {
  const Planner p = planner();
  PlanRequest r = request(kGi);
  r.cache.n_blocks = 15;
  EXPECT_TRUE(p.plan(r).fits());
  r.whole_len = true;
  EXPECT_FALSE(p.plan(r).fits());
  r.cache.n_blocks = 16;
  EXPECT_TRUE(p.plan(r).fits());
  r.whole_len = false;
  r.cache.n_blocks = 1;
  EXPECT_FALSE(p.plan(r).fits());
}

TEST_F(MemoryPlanTest, GrowsWithTheStep) {
  const Planner p = planner();
  PlanRequest r = request(kGi);
  const MemoryPlan small = p.plan(r);
  r.step.tokens_max *= 2;
  const MemoryPlan large = p.plan(r);
  EXPECT_GT(large.scratch, small.scratch);
  EXPECT_EQ(large.weights, small.weights);
  EXPECT_EQ(large.kv_block_bytes, small.kv_block_bytes);
}

TEST_F(MemoryPlanTest, AddsUpRanks) {
  const MemoryPlan one = planner().plan(request(kGi)), two = planner(2).plan(request(kGi));
  EXPECT_GT(two.weights, one.weights);      // norms, embedding and router are on both
  EXPECT_LT(two.weights, 2 * one.weights);  // the rest is split
  EXPECT_EQ(two.kv_block_bytes, one.kv_block_bytes);
  EXPECT_GT(two.scratch, one.scratch);
}

TEST_F(MemoryPlanTest, SharesTheCacheBetweenStatesAndBlocks) {
  const std::string path = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/models/qwen3-next";
  config_ = *model::read_config(**weights::open_model_files(path));
  const Planner p = planner();
  PlanRequest r = request(kGi);
  const int64_t state = p.plan(r).state_bytes;
  ASSERT_GT(state, 0);
  struct Case {
    int64_t states;  // that half of the cache holds
    bool snapshots;
    int live, kept;
  };
  const Case cases[] = {
      {100, true, 4, 8}, {100, false, 4, 0}, {6, true, 4, 2}, {4, true, 3, 1}, {4, false, 4, 0}, {2, true, 1, 1},
  };
  for (const Case& c : cases) {
    r.kv_bytes = 2 * c.states * state;
    r.snapshots = c.snapshots;
    const MemoryPlan plan = p.plan(r);
    EXPECT_EQ(plan.n_live_states, c.live) << c.states;
    EXPECT_EQ(plan.n_snapshots, c.kept) << c.states;
    EXPECT_LE(plan.kv_cache(), r.kv_bytes);
    EXPECT_EQ(plan.cache_options(r.cache).n_state_slots, c.live + c.kept);
  }
  r.kv_bytes = state;
  EXPECT_FALSE(p.plan(r).fits());
}

}  // namespace
}  // namespace polymath::plan
