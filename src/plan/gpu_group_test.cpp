#include "plan/gpu_group.h"

#include <gtest/gtest.h>

#include "plan/known_models.h"

namespace polymath::plan {
namespace {

constexpr double kGib = double{1 << 30};

GroupRequest request(const Layout& layout, std::string_view gpu = "h200") {
  return {.layout = layout,
          .gpu = find_gpu(gpu),
          .memory_share = 0.9,
          .step = {.tokens_max = 2048, .seqs_max = 256, .logit_rows_max = 256, .blocks_max = 256},
          .cache = {.block_size = 16, .type = {tensor::DType::kBf16, {}}},
          .model_len = 4096};
}

// A known model without a file, stored in one way.
class Known {
 public:
  explicit Known(std::string_view name, std::string_view stored = "none")
      : config_(*known_config(name)),
        checkpoint_(weights::dummy_checkpoint(0, config_.dtype)),
        planner_(*GroupPlanner::create({config_, *checkpoint_, *stored_as(stored)})) {}
  absl::StatusOr<GroupPlan> plan(const GroupRequest& request) const { return planner_.plan(request); }
  const model::ModelConfig& config() const { return config_; }
  const weights::Checkpoint& checkpoint() const { return *checkpoint_; }

 private:
  model::ModelConfig config_;
  std::unique_ptr<weights::Checkpoint> checkpoint_;
  GroupPlanner planner_;
};

// What a rank would allocate, but for routers: CUDA keeps them in bf16, the reference in f32.
TEST(GpuGroup, CountsWhatARankAllocates) {
  struct Case {
    const char *model, *stored;
    int ranks;
    bool whole_experts;
  };
  constexpr Case kCases[] = {
      {"Qwen1.5-MoE-A2.7B", "none", 1, false}, {"Qwen1.5-MoE-A2.7B", "none", 4, false},
      {"Qwen1.5-MoE-A2.7B", "none", 4, true},  {"DeepSeek-V2-Lite", "none", 2, false},
      {"DeepSeek-V2-Lite", "int8", 2, true},   {"gpt-oss-20b", "none", 2, false},
      {"OLMoE-1B-7B", "q4_k", 1, false},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.model << " " << c.stored << " " << c.ranks);
    const Known known(c.model, c.stored);
    const auto plan = known.plan(request({.tensor = c.ranks, .expert_parallel = c.whole_experts}));
    ASSERT_TRUE(plan.ok()) << plan.status();
    const auto backend = *backend::make_backend("reference", {.threads = 1});
    const model::LoadOptions options{.dtype = known.config().dtype,
                                     .pack_to = stored_as(c.stored)->experts,
                                     .model_len = 4096,
                                     .whole_experts = c.whole_experts};
    const auto rank = model::RankMemory::measure({known.config(), known.checkpoint(), options}, *backend,
                                                 {c.ranks, 0, c.whole_experts});
    ASSERT_TRUE(rank.ok()) << rank.status();
    const GpuShare& share = plan->share();
    // The head stays plain in a plan, as checkpoints have it.
    int64_t head = 0;
    for (const auto& [key, bytes] : share.by_use) head += key.first == "output head" ? bytes : 0;
    const int64_t routers = share.by_use.at({"routers", "bfloat16"});
    if (std::string_view(c.stored) == "none") {
      EXPECT_EQ(share.weights + routers, rank->weights());
    } else {
      EXPECT_LT(share.weights - head, rank->weights());
    }
    EXPECT_EQ(share.kv_token_bytes * 16, rank->kv_block({.block_size = 16, .type = {tensor::DType::kBf16, {}}}));
  }
}

TEST(GpuGroup, SplitsWeightsAndCacheByTheLayout) {
  struct Case {
    const char *model, *stored;
    Layout layout;
    double weights_gib;  // of the fullest GPU
    int64_t kv_bytes;    // of a token, there
  };
  const Case kCases[] = {
      {"Mixtral-8x7B", "none", {}, 87.0, 131'072},
      {"Mixtral-8x7B", "none", {.tensor = 2}, 43.6, 65'536},
      {"Mixtral-8x7B", "none", {.tensor = 16}, 5.7, 16'384},    // 8 KV heads: two ranks share one
      {"Mixtral-8x7B", "none", {.pipeline = 2}, 43.5, 65'536},  // half of the layers
      {"Mixtral-8x7B", "none", {.data = 2}, 45.0, 131'072},     // attention in whole, half of each expert
      {"DeepSeek-V3", "fp8", {.tensor = 8}, 83.4, 70'272},      // the latent is on every rank
      {"DeepSeek-V3", "fp8", {.data = 8, .expert_parallel = true}, 97.6, 70'272},
      {"Qwen3-30B-A3B", "none", {.tensor = 8}, 7.7, 2 * 48 * 128 * 2},  // 4 KV heads: one on two ranks each
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.model << " " << c.layout.tensor << " " << c.layout.pipeline << " "
                                    << c.layout.data);
    const auto plan = Known(c.model, c.stored).plan(request(c.layout));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_NEAR(static_cast<double>(plan->share().weights) / kGib, c.weights_gib, 0.06);
    EXPECT_EQ(plan->share().kv_token_bytes, c.kv_bytes);
  }
}

// What `serve --dry-run --device cuda` printed on an H200 (139.8 GiB), with 1,024 sequences.
TEST(GpuGroup, EstimatesActivationsOfAnH200) {
  struct Case {
    const char* model;
    int tokens;
    double gib;
  };
  constexpr Case kCases[] = {
      {"Mixtral-8x7B", 2048, 0.615},    {"Mixtral-8x7B", 8192, 1.9},     {"Qwen3-30B-A3B", 2048, 1.0},
      {"Qwen3-30B-A3B", 8192, 2.2},     {"DeepSeek-V2-Lite", 2048, 1.1}, {"DeepSeek-V2-Lite", 8192, 3.0},
      {"OLMoE-1B-7B", 2048, 0.647},     {"OLMoE-1B-7B", 8192, 1.8},      {"Qwen1.5-MoE-A2.7B", 2048, 1.0},
      {"Qwen1.5-MoE-A2.7B", 8192, 2.1}, {"DeepSeek-V3", 2048, 3.7},      {"DeepSeek-V3", 8192, 13.1},
      {"gpt-oss-20b", 2048, 1.2},       {"gpt-oss-20b", 8192, 2.3},      {"Qwen3-235B-A22B", 2048, 1.4},
      {"Qwen3-235B-A22B", 8192, 3.8},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.model << " " << c.tokens);
    const Known known(c.model);
    GroupRequest r = request({});
    r.model_len = known.config().positions_max;
    r.step = {.tokens_max = c.tokens, .seqs_max = 1024, .logit_rows_max = 1024, .blocks_max = r.model_len / 16};
    const double gib = static_cast<double>(known.plan(r)->share().activations) / kGib;
    EXPECT_NEAR(gib, c.gib, 0.03 * c.gib + 0.05);  // printed with one digit
  }
}

// openai/gpt-oss-120b: 65.19 GB of MXFP4 experts and bf16 rest; biases are f32 in memory.
TEST(GpuGroup, CountsFormatsByUse) {
  const auto plan = Known("gpt-oss-120b", "mxfp4").plan(request({}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const GpuShare& share = plan->share();
  EXPECT_EQ(share.by_use.at({"experts", "mxfp4"}), int64_t{36} * 128 * 3 * 2880 * 2880 * 17 / 32);
  EXPECT_NEAR(static_cast<double>(share.weights) / 1e9, 65.19, 0.2);
}

TEST(GpuGroup, SaysWhichDoNotDivide) {
  EXPECT_FALSE(Known("Mixtral-8x7B").plan(request({.tensor = 3})).ok());
  EXPECT_FALSE(Known("Mixtral-8x7B").plan(request({.pipeline = 33})).ok());
  EXPECT_FALSE(Known("Mixtral-8x7B").plan(request({.data = 16, .expert_parallel = true})).ok());
}

TEST(GpuGroup, FindsTheRoomForSequences) {
  const auto plan = *Known("Mixtral-8x7B").plan(request({.tensor = 2}, "h100"));
  const int64_t n = plan.sequences_of(4096, 16);
  EXPECT_TRUE(plan.fits(n, 4096));
  EXPECT_FALSE(plan.fits(n + 1, 4096));
  EXPECT_EQ(plan.tokens(1), plan.left(plan.share()) / plan.share().kv_token_bytes);
  EXPECT_EQ(Known("Mixtral-8x22B").plan(request({}, "h100"))->tokens(1), 0);  // the weights alone do not fit
}

TEST(StepWork, ExpectsDistinctExperts) {
  struct Case {
    double experts, top_k, tokens, expected;
  };
  constexpr Case kCases[] = {{256, 8, 1, 8},   {256, 8, 16, 102}, {256, 8, 64, 222}, {128, 8, 1, 8},
                             {128, 8, 16, 82}, {128, 8, 64, 126}, {8, 2, 1, 2},      {8, 2, 16, 7.9}};
  for (const Case& c : kCases) {
    EXPECT_NEAR(expected_experts(c.experts, c.top_k, c.tokens), c.expected, c.expected < 10 ? 0.05 : 0.5);
  }
}

// One token of Mixtral reads its active parameters once, and multiplies and adds with each.
TEST(StepWork, OfOneTokenIsTheActiveParameters) {
  const Known known("Mixtral-8x7B");
  const auto plan = *known.plan(request({}));
  const StepWork& work = plan.share().work;
  const StepExtent one{.tokens = 1, .all_tokens = 1, .logit_rows = 1, .sequences = 1};
  EXPECT_NEAR(work.bytes(one), 2 * 12.749e9, 0.002e9);
  EXPECT_NEAR(work.flops(one), 2 * 12.749e9, 0.002e9);
  const StepExtent with_context{.tokens = 1, .all_tokens = 1, .logit_rows = 1, .context = 1000, .sequences = 1};
  EXPECT_EQ(work.bytes(with_context) - work.bytes(one), 1000.0 * 131'072);
}

}  // namespace
}  // namespace polymath::plan
