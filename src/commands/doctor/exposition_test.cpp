#include "commands/doctor/exposition.h"

#include <gtest/gtest.h>

#include <cmath>

namespace polymath::commands {
namespace {

TEST(Exposition, ReadsSamples) {
  const auto metrics = Exposition::parse(
      "# HELP a helps\n# TYPE a gauge\na 1.5\n"
      "b{x=\"1\",y=\"quoted \\\" and \\\\ and \\n\"} 2 1700000000\n"
      "b { x = \"2\" , } 3e2\r\n"
      "c NaN\n\nd{} +Inf\n");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->samples().size(), 5u);
  EXPECT_EQ(metrics->sum("a"), 1.5);
  EXPECT_EQ(metrics->sum("b"), 302);
  EXPECT_EQ(metrics->sum("b", "x", "2"), 300);
  EXPECT_EQ(metrics->all("b")[0]->label("y"), "quoted \" and \\ and \n");
  EXPECT_TRUE(std::isnan(*metrics->sum("c")));
  EXPECT_EQ(metrics->sum("e"), std::nullopt);
}

TEST(Exposition, RefusesOtherText) {
  for (const char* text : {"<html>", "a", "a{x=1} 2", "a{x=\"1} 2", "a{x=\"1\" y=\"2\"} 3", "a one", "{} 1"}) {
    EXPECT_EQ(Exposition::parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(Exposition::parse("a 1\nb x\n").status().message(), "metrics: line 2 is not a sample");
}

TEST(Exposition, InterpolatesQuantiles) {
  const auto metrics = Exposition::parse(
      "h_bucket{le=\"1\"} 0\nh_bucket{le=\"2\"} 10\nh_bucket{le=\"4\"} 20\nh_bucket{le=\"+Inf\"} 20\n"
      "far_bucket{le=\"1\"} 1\nfar_bucket{le=\"+Inf\"} 100\nnone_bucket{le=\"+Inf\"} 0\n");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->quantile("h", 0.25), 1.5);
  EXPECT_EQ(metrics->quantile("h", 0.75), 3);
  EXPECT_EQ(metrics->quantile("far", 0.95), 1);  // beyond the last bound: at least that
  EXPECT_EQ(metrics->quantile("none", 0.5), std::nullopt);
  EXPECT_EQ(metrics->quantile("absent", 0.5), std::nullopt);
}

}  // namespace
}  // namespace polymath::commands
