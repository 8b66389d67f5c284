// Gaps have the mean and the variation that were asked for, and a seed gives the same ones again. Traces are read or
// refused by line.

#include "commands/load/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>

namespace polymath::commands::load {
namespace {

struct Moments {
  double mean = 0, deviation = 0;
};

Moments gaps(const ArrivalOptions& options, uint64_t seed, int n) {
  Arrivals arrivals(options, seed);
  double last = arrivals.next(), sum = 0, squares = 0;
  EXPECT_EQ(last, 0);
  for (int i = 0; i < n; ++i) {
    const double at = arrivals.next(), gap = at - last;
    EXPECT_GE(gap, 0);
    last = at, sum += gap, squares += gap * gap;
  }
  const double mean = sum / n;
  return {mean, std::sqrt(std::max(0.0, squares / n - mean * mean))};
}

TEST(Arrivals, MeanAndVariationOfTheGaps) {
  struct Case {
    double rate, shape;
  };
  const Case cases[] = {{10, 1}, {0.5, 1}, {10, 0.25}, {100, 4}, {10, 100}, {10, 0.05}};
  for (const Case& c : cases) {
    for (const uint64_t seed : {1u, 2u, 3u}) {
      const Moments moments = gaps({c.rate, c.shape}, seed, 100000);
      const double variation = 1 / std::sqrt(c.shape);
      EXPECT_NEAR(moments.mean * c.rate, 1, 0.015 * std::max(1.0, variation)) << c.rate << " " << c.shape;
      EXPECT_NEAR(moments.deviation / moments.mean, variation, 0.05 * variation) << c.rate << " " << c.shape;
    }
  }
}

TEST(Arrivals, ConstantGapsAndNone) {
  const Moments constant = gaps({4, std::numeric_limits<double>::infinity()}, 1, 1000);
  EXPECT_DOUBLE_EQ(constant.mean, 0.25);
  EXPECT_NEAR(constant.deviation, 0, 1e-9);
  EXPECT_EQ(gaps({kNoRate, 1}, 1, 100).mean, 0);
}

TEST(Arrivals, ASeedRepeatsARun) {
  Arrivals a({5, 0.5}, 7), b({5, 0.5}, 7), other({5, 0.5}, 8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const double at = a.next();
    EXPECT_EQ(at, b.next());
    differs |= at != other.next();
  }
  EXPECT_TRUE(differs);
}

TEST(Arrivals, Traces) {
  const auto rows = parse_trace("# seconds prompt output\n0 10 5\r\n\n 0.5\t20 6\n0.5 1 1");
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[1].seconds, 0.5);
  EXPECT_EQ((*rows)[1].prompt_len, 20);
  EXPECT_EQ((*rows)[2].output_len, 1);
  struct Case {
    const char* text;
    const char* says;
  };
  const Case refused[] = {
      {"", "has no line"},        {"# only\n", "has no line"},    {"0 1", "line 1: needs three numbers"},
      {"0 1 2 3", "line 1"},      {"0 1 1\nx 1 1", "line 2"},     {"1 1 1\n0.5 1 1", "line 2: arrives before"},
      {"-1 1 1", "line 1"},       {"nan 1 1", "line 1: seconds"}, {"0 0 1", "lengths must be between"},
      {"0 1 9999999", "lengths"}, {"1e99 1 1", "seconds must"},   {"0 1.5 1", "needs three numbers"},
  };
  for (const Case& c : refused) {
    const auto trace = parse_trace(c.text);
    ASSERT_FALSE(trace.ok()) << c.text;
    EXPECT_NE(std::string(trace.status().message()).find(c.says), std::string::npos) << trace.status();
  }
}

}  // namespace
}  // namespace polymath::commands::load
