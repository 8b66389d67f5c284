#include "routing/router.h"

#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "routing/reference_test.h"
#include "routing/validate.h"

namespace polymath::routing {
namespace {

using reference::Routed;
using reference::Row;
using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Result {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Result route(std::string_view name, const RouterConfig& config, const std::vector<float>& logits,
             const std::vector<float>& bias = {}, int32_t token = 0) {
  const Router* router = find_router(name);
  EXPECT_NE(router, nullptr) << name;
  EXPECT_TRUE(validate(*router, config).ok()) << name << ": " << validate(*router, config);
  Result r{std::vector<int32_t>(config.top_k), std::vector<float>(config.top_k)};
  router->route(config, logits.data(), bias.empty() ? nullptr : bias.data(), token, r.ids.data(), r.weights.data());
  return r;
}

using Reference = Routed (*)(const RouterConfig&, const Row&, const Row&);
const std::pair<const char*, Reference> kReferences[] = {
    {"softmax_topk", reference::softmax_topk},
    {"topk_softmax", reference::topk_softmax},
    {"softmax_group_topk", reference::softmax_group_topk},
    {"sigmoid_group_topk", reference::sigmoid_group_topk},
    {"softmax_bias_topk", reference::softmax_bias_topk},
    {"sigmoid_topk", reference::sigmoid_topk},
    {"sparsemixer", reference::sparsemixer},
    {"switch_top1", reference::switch_top1},
};

std::vector<RouterConfig> configs_for(std::string_view name) {
  if (name == "switch_top1") return {{.n_experts = 1}, {.n_experts = 7}, {.n_experts = 1024, .weight_scale = 2.5f}};
  std::vector<RouterConfig> configs = {
      {.n_experts = 1, .top_k = 1, .normalize = true},
      {.n_experts = 2, .top_k = 2},
      {.n_experts = 8, .top_k = 2, .normalize = true, .normalize_eps = 1e-20f, .weight_scale = 2.5f},
      {.n_experts = 16, .top_k = 2, .jitter_eps = 0.2f},
      {.n_experts = 60, .top_k = 4, .normalize = true, .normalize_min = 0.9f},
      {.n_experts = 256, .top_k = 8, .normalize = true, .weight_scale = 1.5f},
      // No quotient of these logits hits this threshold, where float and double may differ.
      {.n_experts = kExpertsMax, .top_k = kTopKMax, .jitter_eps = 0.010307f},
  };
  if (name.find("_group_") != std::string_view::npos) {
    configs.push_back({.n_experts = 160, .top_k = 6, .n_groups = 8, .top_groups = 3, .weight_scale = 16});
    configs.push_back({.n_experts = 256, .top_k = 8, .n_groups = 8, .top_groups = 4, .normalize = true});
    configs.push_back({.n_experts = 12, .top_k = 3, .n_groups = 12, .top_groups = 3, .normalize = true});
    configs.push_back({.n_experts = 8, .top_k = 8, .n_groups = 2, .top_groups = 2});
  }
  return configs;
}

// `step` is the distance of neighbouring logits: small, all differ; large, most are tied.
void compare(const char* name, Reference reference, const RouterConfig& config, float step, uint32_t seed) {
  SCOPED_TRACE(testing::Message() << name << " n_experts " << config.n_experts << " top_k " << config.top_k
                                  << " n_groups " << config.n_groups << " step " << step << " seed " << seed);
  std::mt19937 random(seed);
  const auto draw = [&](float range) {
    const int n = static_cast<int>(range / step);
    return static_cast<float>(static_cast<int>(random() % (2 * n + 1)) - n) * step;
  };
  std::vector<float> logits(config.n_experts), bias(config.n_experts);
  for (float& v : logits) v = draw(4);
  for (float& v : bias) v = draw(1) * 0.5f;
  const Result got = route(name, config, logits, bias);
  const Routed want = reference(config, Row(logits.begin(), logits.end()), Row(bias.begin(), bias.end()));
  for (int j = 0; j < config.top_k; ++j) {
    ASSERT_EQ(got.ids[j], want.ids[j]) << "rank " << j;
    ASSERT_NEAR(got.weights[j], want.weights[j], 2e-6 * std::max(1.0, std::abs(want.weights[j]))) << "rank " << j;
  }
}

TEST(Router, AgreesWithTheDefinition) {
  for (const auto& [name, reference] : kReferences) {
    for (const RouterConfig& config : configs_for(name)) {
      for (uint32_t seed = 0; seed < 20 && !HasFatalFailure(); ++seed) {
        compare(name, reference, config, 0.0009765625f, seed);
        compare(name, reference, config, 1.0f, seed);
      }
    }
  }
}

struct HandWorked {
  const char* name;
  RouterConfig config;
  std::vector<float> logits, bias;
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

// Logits are logarithms, so that results are fractions: softmax(log a, log b) = a / (a + b), b / (a + b).
// And sigmoid(log a) = a / (1 + a).
const float kLog2 = std::log(2.0f), kLog3 = std::log(3.0f), kLog4 = std::log(4.0f), kLog9 = std::log(9.0f);

const HandWorked kHandWorked[] = {
    // Mixtral: probabilities 1/10 2/10 3/10 4/10, the two best over their sum.
    {"softmax_topk",
     {.n_experts = 4, .top_k = 2, .normalize = true},
     {0, kLog2, kLog3, kLog4},
     {},
     {3, 2},
     {4 / 7.f, 3 / 7.f}},
    // Qwen-MoE with norm_topk_prob false, OLMoE: the probabilities as they are.
    {"softmax_topk", {.n_experts = 4, .top_k = 2}, {0, kLog2, kLog3, kLog4}, {}, {3, 2}, {0.4f, 0.3f}},
    // A dense layer is a MoE of one.
    {"softmax_topk", {.n_experts = 1, .top_k = 1}, {-17}, {}, {0}, {1}},
    // gpt-oss: the same four, softmax over the chosen two.
    {"topk_softmax", {.n_experts = 4, .top_k = 2}, {0, kLog2, kLog3, kLog4}, {}, {3, 2}, {4 / 7.f, 3 / 7.f}},
    // DeepSeek-V2: groups {1 4} {3 3} of 11. The first wins by its best; its 1 precedes the other's 3.
    {"softmax_group_topk",
     {.n_experts = 4, .top_k = 2, .n_groups = 2, .top_groups = 1, .weight_scale = 11},
     {0, kLog4, kLog3, kLog3},
     {},
     {1, 0},
     {4, 1}},
    // DeepSeek-V3: scores 0.5 0.8 | 0.75 0.75; the second group wins by the sum of its two best.
    {"sigmoid_group_topk",
     {.n_experts = 4, .top_k = 2, .n_groups = 2, .top_groups = 1, .weight_scale = 2},
     {0, kLog4, kLog3, kLog3},
     {},
     {2, 3},
     {1.5f, 1.5f}},
    // The bias changes group and expert, not the weight.
    {"sigmoid_group_topk",
     {.n_experts = 4, .top_k = 2, .n_groups = 2, .top_groups = 1, .normalize = true},
     {0, kLog4, kLog3, kLog3},
     {1, 0, 0, 0},
     {0, 1},
     {0.5f / 1.3f, 0.8f / 1.3f}},
    // A negative score in a kept group still precedes every masked expert.
    {"sigmoid_group_topk",
     {.n_experts = 4, .top_k = 2, .n_groups = 2, .top_groups = 1},
     {kLog3, kLog3, kLog3, kLog3},
     {-2, -2, -1, -1},
     {2, 3},
     {0.75f, 0.75f}},
    // GLM-4-MoE: one group.
    {"sigmoid_group_topk", {.n_experts = 3, .top_k = 1}, {0, kLog9, kLog4}, {0, -1, 0}, {2}, {0.8f}},
    // ERNIE-4.5: 0.1 0.2 0.3 0.4, the bias lifts the first; weights 0.1 and 0.4 over 0.5.
    {"softmax_bias_topk", {.n_experts = 4, .top_k = 2}, {0, kLog2, kLog3, kLog4}, {1, 0, 0, 0}, {0, 3}, {0.2f, 0.8f}},
    // The same, where the sum 0.5 is below moe_norm_min.
    {"softmax_bias_topk",
     {.n_experts = 4, .top_k = 2, .normalize_min = 1},
     {0, kLog2, kLog3, kLog4},
     {1, 0, 0, 0},
     {0, 3},
     {0.1f, 0.4f}},
    // Llama 4.
    {"sigmoid_topk", {.n_experts = 3, .top_k = 1}, {0, kLog9, kLog4}, {}, {1}, {0.9f}},
    // Phi-MoE: 99 is within 2 % of 100 and 98.5 is too; the second round no longer sees 100.
    {"sparsemixer",
     {.n_experts = 4, .top_k = 2},
     {100, 99, 98.5f, 50},
     {},
     {0, 1},
     {1 / (1 + std::exp(-1.f) + std::exp(-1.5f)), 1 / (1 + std::exp(-0.5f))}},
    // All far apart: each is alone.
    {"sparsemixer", {.n_experts = 3, .top_k = 2}, {1, 3, 2}, {}, {1, 2}, {1, 1}},
    // Below zero the distance is relative to the lower score: (-10 + 10.1) / 10.1 is near, (-10 + 11) / 11 is not.
    {"sparsemixer", {.n_experts = 3, .top_k = 1}, {-11, -10, -10.1f}, {}, {1}, {1 / (1 + std::exp(-0.1f))}},
    // Switch: 4/10.
    {"switch_top1", {.n_experts = 4}, {0, kLog2, kLog3, kLog4}, {}, {3}, {0.4f}},
    // Ties: the lowest id.
    {"softmax_topk", {.n_experts = 4, .top_k = 2}, {5, 5, 5, 5}, {}, {0, 1}, {0.25f, 0.25f}},
    {"sparsemixer", {.n_experts = 4, .top_k = 2}, {5, 5, 5, 5}, {}, {0, 1}, {0.25f, 1 / 3.f}},
    {"softmax_group_topk",
     {.n_experts = 4, .top_k = 2, .n_groups = 2, .top_groups = 1},
     {1, 2, 2, 2},
     {},
     {1, 0},
     {1 / (3 + std::exp(-1.f)), std::exp(-1.f) / (3 + std::exp(-1.f))}},
    // Logits of any size.
    {"softmax_topk", {.n_experts = 3, .top_k = 2}, {-1e30f, 1e30f, 0}, {}, {1, 2}, {1, 0}},
    {"softmax_topk", {.n_experts = 3, .top_k = 3}, {-kInf, 0, -kInf}, {}, {1, 0, 2}, {1, 0, 0}},
    {"softmax_topk", {.n_experts = 2, .top_k = 2}, {3e38f, -3e38f}, {}, {0, 1}, {1, 0}},
    {"topk_softmax", {.n_experts = 3, .top_k = 2}, {-1e30f, 1e30f, -kInf}, {}, {1, 0}, {1, 0}},
    {"sigmoid_topk", {.n_experts = 4, .top_k = 4}, {-1e30f, 1e30f, kInf, 0}, {}, {2, 1, 3, 0}, {1, 1, 0.5f, 0}},
    {"sigmoid_group_topk", {.n_experts = 2, .top_k = 2, .normalize = true}, {-1e30f, -2e30f}, {}, {0, 1}, {0, 0}},
    {"sigmoid_group_topk", {.n_experts = 3, .top_k = 2}, {-kInf, 1, kInf}, {}, {2, 1}, {1, 0.7310586f}},
    {"sparsemixer", {.n_experts = 3, .top_k = 2}, {1e30f, -1e30f, -kInf}, {}, {0, 1}, {1, 1}},
    {"switch_top1", {.n_experts = 2}, {-1e30f, 1e30f}, {}, {1}, {1}},
};

TEST(Router, HandWorkedCases) {
  for (const HandWorked& row : kHandWorked) {
    SCOPED_TRACE(testing::Message() << row.name << " row " << &row - kHandWorked);
    const Result got = route(row.name, row.config, row.logits, row.bias);
    EXPECT_EQ(got.ids, row.ids);
    for (size_t j = 0; j < row.weights.size(); ++j) EXPECT_NEAR(got.weights[j], row.weights[j], 1e-5) << "rank " << j;
  }
}

TEST(Router, BrokenRowGivesTheFirstExpertsAndNaN) {
  const std::vector<float> nothing_finite(4, -kInf), a_nan = {1, NAN, 2, 3}, mixed = {kInf, -kInf, -kInf, kInf};
  for (const auto& [name, unused] : kReferences) {
    const RouterConfig config = {.n_experts = 4, .top_k = std::string_view(name) == "switch_top1" ? 1 : 2};
    for (const auto& row : {nothing_finite, a_nan, mixed}) {
      const Result got = route(name, config, row);
      for (int j = 0; j < config.top_k; ++j) {
        EXPECT_EQ(got.ids[j], j) << name;
        EXPECT_TRUE(std::isnan(got.weights[j])) << name;
      }
    }
  }
}

TEST(Router, AnInfiniteLogitHasNoSoftmax) {
  for (const char* name : {"softmax_topk", "topk_softmax", "softmax_group_topk", "softmax_bias_topk", "sparsemixer"}) {
    const Result got = route(name, {.n_experts = 3, .top_k = 2}, {1, kInf, 2});
    EXPECT_THAT(got.ids, ElementsAre(0, 1)) << name;
    EXPECT_TRUE(std::isnan(got.weights[0]) && std::isnan(got.weights[1])) << name;
  }
}

TEST(Router, NaNInTheBiasBreaksTheRow) {
  for (const char* name : {"sigmoid_group_topk", "softmax_bias_topk"}) {
    const Result got = route(name, {.n_experts = 3, .top_k = 2}, {1, 2, 3}, {0, 0, NAN});
    EXPECT_THAT(got.ids, ElementsAre(0, 1)) << name;
    EXPECT_TRUE(std::isnan(got.weights[0])) << name;
  }
}

// Whatever the logits are, the ids are distinct experts.
TEST(Router, IdsAreDistinctForAnyLogits) {
  const float values[] = {0, -0.0f, 1, -1, 1e30f, -1e30f, 3e38f, -3e38f, 1e-40f, kInf, -kInf, NAN};
  std::mt19937 random(5);
  for (int trial = 0; trial < 3000; ++trial) {
    const RouterConfig config = {.n_experts = 8, .top_k = 3, .n_groups = 1};
    // One trial in five has NaNs: most rows must be valid.
    const size_t n_values = std::size(values) - (trial % 5 != 0);
    std::vector<float> logits(config.n_experts), bias(config.n_experts);
    for (float& v : logits) v = values[random() % n_values];
    for (float& v : bias) v = values[random() % n_values];
    for (const Router& router : routers()) {
      if (!validate(router, config).ok()) continue;
      const Result got = route(router.name, config, logits, bias, trial);
      for (int32_t id : got.ids) ASSERT_TRUE(id >= 0 && id < config.n_experts) << router.name;
      ASSERT_EQ(std::set<int32_t>(got.ids.begin(), got.ids.end()).size(), 3u) << router.name;
    }
  }
}

TEST(Hash, FollowsFromTheTokenAlone) {
  const RouterConfig config = {.n_experts = 64, .top_k = 6, .weight_scale = 3};
  const Router* router = find_router("hash");
  std::map<int32_t, int> uses;
  for (int32_t token = 0; token < 20000; ++token) {
    int32_t ids[6], again[6];
    float weights[6];
    router->route(config, nullptr, nullptr, token, ids, weights);
    router->route(config, nullptr, nullptr, token, again, weights);
    ASSERT_TRUE(std::equal(ids, ids + 6, again));
    ASSERT_EQ(std::set<int32_t>(ids, ids + 6).size(), 6u);
    for (int j = 0; j < 6; ++j) {
      ASSERT_TRUE(ids[j] >= 0 && ids[j] < 64);
      ASSERT_FLOAT_EQ(weights[j], 0.5f);
      ++uses[ids[j]];
    }
  }
  // 20000 * 6 / 64 = 1875 expected; the standard deviation is 41, six of them allowed.
  for (const auto& [id, n] : uses) EXPECT_NEAR(n, 1875, 246) << "expert " << id;
  EXPECT_EQ(uses.size(), 64u);
}

TEST(Hash, EveryExpertOnceWhenAllAreChosen) {
  const Result got = route("hash", {.n_experts = 64, .top_k = 64}, {}, {}, 7);
  EXPECT_EQ(std::set<int32_t>(got.ids.begin(), got.ids.end()).size(), 64u);
}

// Experts of a served model must not change between releases.
TEST(Hash, IsStable) {
  EXPECT_THAT(route("hash", {.n_experts = 8, .top_k = 2}, {}, {}, 0).ids, ElementsAre(3, 4));
  EXPECT_THAT(route("hash", {.n_experts = 8, .top_k = 2, .hash_seed = 1}, {}, {}, 0).ids, ElementsAre(2, 5));
  EXPECT_THAT(route("hash", {.n_experts = 1024, .top_k = 3}, {}, {}, 151643).ids, ElementsAre(756, 226, 140));
}

TEST(Routers, NamesAreUniqueAndFound) {
  std::set<std::string_view> names;
  for (const Router& router : routers()) {
    EXPECT_TRUE(names.insert(router.name).second) << router.name;
    EXPECT_EQ(find_router(router.name), &router);
    EXPECT_FALSE(router.source.empty());
  }
  EXPECT_EQ(names.size(), 9u);
  EXPECT_EQ(find_router("softmax"), nullptr);
  EXPECT_EQ(find_router(""), nullptr);
}

TEST(Validate, RefusesWhatCannotBeRouted) {
  const struct {
    const char* router;
    RouterConfig config;
    const char* says;
  } rows[] = {
      {"softmax_topk", {.n_experts = 0}, "n_experts is 0"},
      {"softmax_topk", {.n_experts = kExpertsMax + 1}, "n_experts is 1025"},
      {"softmax_topk", {.n_experts = 8, .top_k = 0}, "top_k is 0"},
      {"softmax_topk", {.n_experts = 8, .top_k = 9}, "top_k is 9"},
      {"softmax_topk", {.n_experts = 100, .top_k = 65}, "top_k is 65"},
      {"softmax_topk", {.n_experts = 8, .n_groups = 2}, "has no groups"},
      {"sigmoid_group_topk", {.n_experts = 8, .n_groups = 3}, "3 equal groups"},
      {"sigmoid_group_topk", {.n_experts = 8, .n_groups = 0}, "0 equal groups"},
      {"sigmoid_group_topk", {.n_experts = 8, .n_groups = 2, .top_groups = 3}, "top_groups is 3"},
      {"sigmoid_group_topk", {.n_experts = 8, .top_k = 5, .n_groups = 2}, "hold only 4"},
      {"switch_top1", {.n_experts = 8, .top_k = 2}, "switch_top1"},
      {"softmax_topk", {.weight_scale = NAN}, "weight_scale"},
      {"sparsemixer", {.jitter_eps = -1}, "jitter_eps"},
      {"softmax_topk", {.normalize_min = kInf}, "normalize_min"},
  };
  for (const auto& row : rows) {
    const absl::Status status = validate(*find_router(row.router), row.config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(row.says));
  }
}

}  // namespace
}  // namespace polymath::routing
