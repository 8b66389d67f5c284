#include "base/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

namespace polymath::base {
namespace {

TEST(Metrics, RendersTheTextFormat) {
  MetricsRegistry registry;
  registry.counter("a_total", "Line one\nand a \\.", {{"path", "/x\"y\\z\n"}}).add();
  registry.counter("a_total", "Line one\nand a \\.", {}).add(2.5);
  registry.gauge("vllm:b", "B.", {}).set(-3);
  auto& h = registry.histogram("c_seconds", "C.", {{"m", "1"}}, {0.1, 1, 2.5});
  for (const double v : {0.05, 0.1, 0.5, 2.0, 99.0}) h.observe(v);
  EXPECT_EQ(
      "# HELP a_total Line one\\nand a \\\\.\n# TYPE a_total counter\n"
      "a_total{path=\"/x\\\"y\\\\z\\n\"} 1\na_total 2.5\n"
      "# HELP vllm:b B.\n# TYPE vllm:b gauge\nvllm:b -3\n"
      "# HELP c_seconds C.\n# TYPE c_seconds histogram\n"
      "c_seconds_bucket{m=\"1\",le=\"0.1\"} 2\nc_seconds_bucket{m=\"1\",le=\"1\"} 3\n"
      "c_seconds_bucket{m=\"1\",le=\"2.5\"} 4\nc_seconds_bucket{m=\"1\",le=\"+Inf\"} 5\n"
      "c_seconds_sum{m=\"1\"} 101.65\nc_seconds_count{m=\"1\"} 5\n",
      registry.render());
}

TEST(Metrics, TheSameLabelsAreTheSameMetric) {
  MetricsRegistry registry;
  EXPECT_EQ(&registry.counter("a", "A.", {{"x", "1"}}), &registry.counter("a", "A.", {{"x", "1"}}));
  EXPECT_NE(&registry.counter("a", "A.", {{"x", "1"}}), &registry.counter("a", "A.", {{"x", "2"}}));
  EXPECT_EQ(&registry.histogram("h", "H.", {}, {1}), &registry.histogram("h", "H.", {}, {1}));
}

TEST(Metrics, OddNumbers) {
  MetricsRegistry registry;
  auto& gauge = registry.gauge("g", "G.", {});
  struct Row {
    double value;
    const char* text;
  };
  for (const auto& [value, text] :
       {Row{std::nan(""), "NaN"}, Row{INFINITY, "+Inf"}, Row{-INFINITY, "-Inf"}, Row{123456789012, "123456789012"},
        Row{1e300, "1e+300"}, Row{0.1, "0.1"}, Row{1234567.125, "1234567.125"}, Row{-0.0, "0"}}) {
    gauge.set(value);
    EXPECT_TRUE(registry.render().ends_with(std::string("\ng ") + text + "\n")) << registry.render();
  }
  auto& h = registry.histogram("h", "H.", {}, {1});
  h.observe(std::nan(""));
  h.observe(0.5);
  EXPECT_EQ(2u, h.count());
  EXPECT_EQ(1u, h.bucket(1));
  EXPECT_EQ(0.5, h.sum());
}

TEST(Metrics, SummariesInfosAndUpdates) {
  MetricsRegistry registry;
  auto& sizes = registry.summary("s_bytes", "S.", {{"h", "/"}});
  sizes.observe(3);
  sizes.observe(4);
  auto& info = registry.info("i", "I.", {{"m", "1"}});
  int n = 0;
  registry.on_render([&] {
    const std::string running(static_cast<size_t>(n++), 'a');
    info.set({{"running", running}}, n);
  });
  const std::string head =
      "# HELP s_bytes S.\n# TYPE s_bytes summary\ns_bytes_sum{h=\"/\"} 7\ns_bytes_count{h=\"/\"} 2\n"
      "# HELP i I.\n# TYPE i gauge\n";
  EXPECT_EQ(head + "i{m=\"1\",running=\"\"} 1\n", registry.render());
  EXPECT_EQ(head + "i{m=\"1\",running=\"a\"} 2\n", registry.render());
}

TEST(Metrics, BoundsOfTheOperator) {
  MetricsRegistry registry;
  registry.use_bounds("h", {0.5, 2});
  EXPECT_EQ((std::vector<double>{0.5, 2}), registry.histogram("h", "H.", {}, {1}).bounds());
  EXPECT_EQ((std::vector<double>{1}), registry.histogram("other", "O.", {}, {1}).bounds());
}

TEST(Metrics, OneTwoFive) {
  EXPECT_EQ((std::vector<double>{1, 2, 5, 10, 20}), one_two_five(12));
  EXPECT_EQ((std::vector<double>{1, 2, 5, 10}), one_two_five(10));
  EXPECT_EQ((std::vector<double>{1}), one_two_five(0.5));
}

TEST(Metrics, ManyThreadsLoseNothing) {
  MetricsRegistry registry;
  auto& counter = registry.counter("a", "A.", {});
  auto& h = registry.histogram("h", "H.", {}, {1, 10});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        counter.add();
        h.observe(i % 20);
        if (i % 1000 == 0) registry.counter("late", "L.", {{"t", std::to_string(t)}}).add();
      }
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(registry.render().empty());
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(20000, counter.value());
  EXPECT_EQ(20000u, h.count());
  EXPECT_EQ(4 * 250 * 190.0, h.sum());
}

TEST(Metrics, AppendedPagesComeLast) {
  MetricsRegistry registry;
  std::string page = "b 2\n";
  registry.append([&page] { return page; });
  registry.gauge("a", "A.", {}).set(1);
  EXPECT_EQ(registry.render(), "# HELP a A.\n# TYPE a gauge\na 1\nb 2\n");
  page.clear();
  EXPECT_EQ(registry.render(), "# HELP a A.\n# TYPE a gauge\na 1\n");
}

TEST(MetricsDeathTest, OneNameIsOneKind) {
  MetricsRegistry registry;
  registry.counter("a", "A.", {});
  EXPECT_DEATH(registry.gauge("a", "A.", {}), "CHECK");
  EXPECT_DEATH(registry.counter("a", "B.", {}), "CHECK");
  EXPECT_DEATH(Histogram({1, 1}), "CHECK");
}

}  // namespace
}  // namespace polymath::base
