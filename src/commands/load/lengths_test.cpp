// Lengths: what is understood, the distributions drawn, and what is refused.

#include "commands/load/lengths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace polymath::commands::load {
namespace {

std::vector<int> drawn(const char* text, int n) {
  const auto length = Length::parse(text);
  EXPECT_TRUE(length.ok()) << length.status();
  Draw draw(3, 4);
  std::vector<int> out;
  for (int i = 0; i < n; ++i) out.push_back(length->draw(draw));
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Length, Distributions) {
  struct Case {
    const char* text;
    int least, most;       // every draw lies between
    double median, error;  // of 20001 draws
  };
  const Case cases[] = {
      {"512", 512, 512, 512, 0},
      {"1", 1, 1, 1, 0},
      {"uniform:100-200", 100, 200, 150, 2},
      {"uniform:7-7", 7, 7, 7, 0},
      {"lognormal:512,0.5", 1, kLengthMax, 512, 15},
      {"lognormal:512,0", 512, 512, 512, 0},
      {"lognormal:512,0.5:400-600", 400, 600, 512, 15},
      {"lognormal:512,10", 1, kLengthMax, 512, 200},
  };
  for (const Case& c : cases) {
    const std::vector<int> values = drawn(c.text, 20001);
    EXPECT_GE(values.front(), c.least) << c.text;
    EXPECT_LE(values.back(), c.most) << c.text;
    EXPECT_NEAR(values[10000], c.median, c.error) << c.text;
    EXPECT_EQ(Length::parse(Length::parse(c.text)->text())->text(), Length::parse(c.text)->text());
  }
}

TEST(Length, SigmaIsThatOfTheLogarithm) {
  const std::vector<int> values = drawn("lognormal:10000,0.5", 20001);
  double sum = 0, squares = 0;
  for (const int value : values) sum += std::log(value), squares += std::log(value) * std::log(value);
  const double mean = sum / 20001;
  EXPECT_NEAR(std::sqrt(squares / 20001 - mean * mean), 0.5, 0.01);
}

TEST(Length, Refusals) {
  for (const char* text :
       {"", "0", "-1", "x", "512.5", "9999999", "uniform:", "uniform:5", "uniform:9-5", "uniform:0-5", "uniform:1-2-3",
        "uniform:1-2:3", "lognormal:512", "lognormal:512,x", "lognormal:512,-1", "lognormal:512,nan",
        "lognormal:512,0.5:9-1", "lognormal:512,0.5:1-2:3", "normal:5,1"}) {
    const auto length = Length::parse(text);
    EXPECT_EQ(length.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace polymath::commands::load
