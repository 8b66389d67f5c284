#include "commands/quality/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace polymath::commands {
namespace {

// Logarithms of probabilities, plus a constant that a softmax takes away.
std::vector<float> logits_of(const std::vector<double>& probabilities, double constant) {
  std::vector<float> out;
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p) + constant));
  return out;
}

TEST(Quality, EqualLogitsDoNotDiverge) {
  Divergence divergence(3);
  const auto logits = logits_of({0.5, 0.3, 0.2}, 0);
  ASSERT_TRUE(divergence.add(logits, logits, 1));
  const QualityFigures f = divergence.figures();
  EXPECT_EQ(f.positions, 1);
  EXPECT_DOUBLE_EQ(f.kl_mean, 0);
  EXPECT_DOUBLE_EQ(f.same_top, 1);
  EXPECT_DOUBLE_EQ(f.largest_logit_error, 0);
  EXPECT_NEAR(f.perplexity, 1 / 0.3, 1e-6);
  EXPECT_DOUBLE_EQ(f.perplexity, f.reference_perplexity);
}

TEST(Quality, FiguresAreThoseOfTheDefinition) {
  Divergence divergence(2);
  ASSERT_TRUE(divergence.add(logits_of({0.75, 0.25}, 5), logits_of({0.5, 0.5}, 5), 0));
  ASSERT_TRUE(divergence.add(logits_of({0.4, 0.6}, 0), logits_of({0.8, 0.2}, 0), 1));
  const double first = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
  const double second = 0.4 * std::log(0.5) + 0.6 * std::log(3.0);
  const QualityFigures f = divergence.figures();
  EXPECT_NEAR(f.kl_mean, (first + second) / 2, 1e-6);
  EXPECT_NEAR(f.kl_median, first, 1e-6);
  EXPECT_NEAR(f.kl_p99, second, 1e-6);
  EXPECT_NEAR(f.kl_max, second, 1e-6);
  EXPECT_DOUBLE_EQ(f.same_top, 0.5);  // equal logits: the first is the likeliest
  EXPECT_NEAR(f.largest_logit_error, std::log(3.0), 1e-6);
  EXPECT_NEAR(f.reference_perplexity, std::sqrt(1 / (0.75 * 0.6)), 1e-6);
  EXPECT_NEAR(f.perplexity, std::sqrt(1 / (0.5 * 0.2)), 1e-6);
}

// A constant on all logits changes no probability, but it is an error of the logits.
TEST(Quality, AConstantIsNoDivergence) {
  Divergence divergence(2);
  ASSERT_TRUE(divergence.add(logits_of({0.75, 0.25}, 0), logits_of({0.75, 0.25}, 2), 0));
  EXPECT_NEAR(divergence.figures().kl_mean, 0, 1e-6);
  EXPECT_NEAR(divergence.figures().logit_error_rms, 2, 1e-6);
}

TEST(Quality, NaNsAreNotCounted) {
  Divergence divergence(2);
  const std::vector<float> good = {0, 1}, bad = {0, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_FALSE(divergence.add(good, bad, 0));
  EXPECT_FALSE(divergence.add(bad, good, 0));
  EXPECT_EQ(divergence.figures().positions, 0);
}

}  // namespace
}  // namespace polymath::commands
