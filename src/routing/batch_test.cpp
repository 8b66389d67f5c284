#include "routing/batch.h"

#include <cmath>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace polymath::routing {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::FloatNear;

TEST(ExpertChoice, HandWorked) {
  // Rows of probabilities: (1/4 3/4) (1/2 1/2) (3/4 1/4); each expert takes two of three tokens.
  const float l3 = std::log(3.0f);
  const float logits[] = {0, l3, 0, 0, l3, 0};
  const ExpertChoice got = expert_choice({.n_experts = 2}, logits, 3, 1.0f);
  EXPECT_EQ(got.capacity, 2);
  EXPECT_THAT(got.token_ids, ElementsAre(2, 1, 0, 1));
  EXPECT_THAT(got.weights,
              ElementsAre(FloatNear(.75f, 1e-6), FloatNear(.5f, 1e-6), FloatNear(.75f, 1e-6), FloatNear(.5f, 1e-6)));
}

TEST(ExpertChoice, Capacity) {
  const struct {
    int n_experts, n_tokens;
    float factor;
    int capacity;
  } rows[] = {{2, 3, 1, 2},      {8, 3, 1, 1},        {8, 3, 0, 1},         {8, 0, 1, 0},
              {1, 10, 1.1f, 10}, {4, 10, 2, 5},       {2, 10, 1.1f, 6},     {4, 8, 99, 8},
              {4, 8, -1, 1},     {4, 8, INFINITY, 8}, {4, 8, -INFINITY, 1}, {4, 8, NAN, 1}};
  for (const auto& row : rows) {
    const std::vector<float> logits(row.n_experts * row.n_tokens);
    const ExpertChoice got = expert_choice({.n_experts = row.n_experts}, logits.data(), row.n_tokens, row.factor);
    EXPECT_EQ(got.capacity, row.capacity) << row.n_experts << " experts, " << row.n_tokens << " tokens, " << row.factor;
    EXPECT_EQ(got.token_ids.size(), static_cast<size_t>(row.n_experts * row.capacity));
  }
}

TEST(ExpertChoice, TiesTakeTheLowerTokenAndBrokenTokensComeLast) {
  const float logits[] = {NAN, 0, 0, 0, 0, 0, 0, 0};
  const ExpertChoice got = expert_choice({.n_experts = 2}, logits, 4, 1.5f);
  EXPECT_EQ(got.capacity, 3);
  EXPECT_THAT(got.token_ids, ElementsAre(1, 2, 3, 1, 2, 3));
  const ExpertChoice all = expert_choice({.n_experts = 2}, logits, 4, 2.0f);
  EXPECT_THAT(all.token_ids, ElementsAre(1, 2, 3, 0, 1, 2, 3, 0));
  EXPECT_TRUE(std::isnan(all.weights[3]));
}

TEST(SoftMoe, AgreesWithTheDefinition) {
  const int n_tokens = 13, n_slots = 24;
  std::mt19937 random(3);
  std::vector<float> logits(n_tokens * n_slots);
  for (float& v : logits) v = static_cast<float>(random() % 1000) / 100.0f;
  const SoftMoe got = soft_moe(logits.data(), n_tokens, n_slots);
  for (int t = 0; t < n_tokens; ++t) {
    for (int s = 0; s < n_slots; ++s) {
      double column = 0, row = 0;
      for (int i = 0; i < n_tokens; ++i) column += std::exp(static_cast<double>(logits[i * n_slots + s]));
      for (int i = 0; i < n_slots; ++i) row += std::exp(static_cast<double>(logits[t * n_slots + i]));
      const double e = std::exp(static_cast<double>(logits[t * n_slots + s]));
      ASSERT_NEAR(got.dispatch[t * n_slots + s], e / column, 1e-6);
      ASSERT_NEAR(got.combine[t * n_slots + s], e / row, 1e-6);
    }
  }
}

TEST(SoftMoe, ExtremesAndNothing) {
  const float logits[] = {1e30f, 0, -1e30f, 0};
  const SoftMoe got = soft_moe(logits, 2, 2);
  EXPECT_THAT(got.dispatch, ElementsAre(1, 0.5f, 0, 0.5f));
  EXPECT_THAT(got.combine, ElementsAre(1, 0, 0, 1));
  EXPECT_TRUE(soft_moe(nullptr, 0, 4).dispatch.empty());
}

TEST(ApplyCapacity, FirstChoicesComeBeforeSecondOnes) {
  const RouterConfig config = {.n_experts = 2, .top_k = 2};
  // Expert 0 is chosen by tokens 1 and 2 first, by token 0 second; ceil(3 * 2 * 0.5 / 2) = 2 places.
  std::vector<int32_t> ids = {1, 0, 0, 1, 0, 1};
  std::vector<float> weights = {.6f, .4f, .7f, .3f, .8f, .2f};
  EXPECT_EQ(apply_capacity(config, 0.5f, 3, ids.data(), weights.data()), 2);
  EXPECT_THAT(ids, ElementsAre(1, -1, 0, 1, 0, -1));
  EXPECT_THAT(weights, ElementsAre(.6f, 0, .7f, .3f, .8f, 0));
  // A dropped choice takes no place and is counted once.
  EXPECT_EQ(apply_capacity(config, 0.5f, 3, ids.data(), weights.data()), 0);
}

TEST(ApplyCapacity, NoFactorNoCapacity) {
  for (float factor : {0.0f, -1.0f, NAN}) {
    std::vector<int32_t> ids(5, 0);
    std::vector<float> weights(5, 1.0f);
    EXPECT_EQ(apply_capacity({.n_experts = 4}, factor, 5, ids.data(), weights.data()), 0);
    EXPECT_THAT(ids, Each(0));
    EXPECT_THAT(weights, Each(1.0f));
  }
}

TEST(ApplyCapacity, KeepsCeil) {
  const struct {
    int n_experts, n_tokens;
    float factor;
    int kept;
  } rows[] = {{4, 10, 1, 3}, {4, 10, 1.25f, 4}, {4, 1, 0.01f, 1}, {4, 10, 1e30f, 10}};
  for (const auto& row : rows) {
    std::vector<int32_t> ids(row.n_tokens, 2);
    std::vector<float> weights(row.n_tokens, 1.0f);
    const int dropped =
        apply_capacity({.n_experts = row.n_experts}, row.factor, row.n_tokens, ids.data(), weights.data());
    EXPECT_EQ(row.n_tokens - dropped, row.kept) << row.factor;
  }
}

}  // namespace
}  // namespace polymath::routing
