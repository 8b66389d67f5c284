// The figures of records made by hand.

#include "commands/load/measures.h"

#include <gtest/gtest.h>

#include <cmath>

namespace polymath::commands::load {
namespace {

Record answer(std::vector<TokenEvent> events, double due, double end) {
  Record record;
  record.due = record.sent = due;
  record.end = end;
  for (const TokenEvent& event : events) record.output_tokens += event.tokens;
  record.counted[0] = record.output_tokens;
  record.events = std::move(events);
  record.status = 200;
  record.prompt_asked = 10;
  return record;
}

Record failure(int status, const char* error) {
  Record record;
  record.status = status;
  record.error = error;
  record.end = 1;
  return record;
}

TEST(Distribution, Percentiles) {
  const Distribution d({4, 1, 3, 2, 5});
  struct Case {
    double p, value;
  };
  for (const Case& c : {Case{0, 1}, {25, 2}, {50, 3}, {90, 4.6}, {99, 4.96}, {100, 5}}) {
    EXPECT_NEAR(d.percentile(c.p), c.value, 1e-12) << c.p;
  }
  EXPECT_EQ(d.mean(), 3);
  EXPECT_NEAR(d.deviation(), std::sqrt(2.0), 1e-12);
  EXPECT_EQ(d.max(), 5);
  EXPECT_EQ(Distribution({7}).percentile(99), 7);
  EXPECT_EQ(Distribution().percentile(50), 0);
}

TEST(Measures, LatenciesOfARequest) {
  const Record record = answer({{1.5, 1}, {1.7, 3}, {1.8, 1}}, 1, 2);
  EXPECT_NEAR(*latency_ms(record, Latency::kTtft), 500, 1e-9);
  EXPECT_NEAR(*latency_ms(record, Latency::kTpot), 75, 1e-9);  // 300 ms, four tokens after the first
  EXPECT_NEAR(*latency_ms(record, Latency::kE2el), 1000, 1e-9);
  std::vector<double> gaps;
  add_token_gaps(record, gaps);
  const double expected[] = {200, 0, 0, 100};
  ASSERT_EQ(gaps.size(), 4u) << "one gap a token after the first";
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(gaps[i], expected[i], 1e-9);
}

TEST(Measures, AFirstEventOfManyTokens) {
  const Record record = answer({{1.5, 3}}, 1, 2);
  std::vector<double> gaps;
  add_token_gaps(record, gaps);
  EXPECT_EQ(gaps, (std::vector<double>{0, 0}));
  EXPECT_EQ(latency_ms(record, Latency::kTpot), 0);
}

TEST(Measures, WhatARequestLacks) {
  const Record at_once = answer({}, 0, 3), one = answer({{1, 1}}, 0, 3);
  EXPECT_FALSE(latency_ms(at_once, Latency::kTtft).has_value());
  EXPECT_FALSE(latency_ms(at_once, Latency::kTpot).has_value());
  EXPECT_EQ(latency_ms(at_once, Latency::kE2el), 3000);
  EXPECT_FALSE(latency_ms(one, Latency::kTpot).has_value());
}

TEST(Measures, ARun) {
  RunResult run;
  run.records = {answer({{1.5, 1}, {1.75, 1}}, 1, 2), answer({{2.5, 1}, {2.75, 2}}, 1, 3),
                 failure(429, "busy, retry in 12 s"), failure(429, "busy, retry in 3 s"), failure(0, "refused")};
  run.records[0].prompt_tokens = 12;
  run.records[1].sent = 1.25;
  run.seconds = 4;
  const Measures m = measure(run, {{Latency::kTtft, 1000}, {Latency::kE2el, 5000}});
  EXPECT_EQ(m.completed, 2);
  EXPECT_EQ(m.failed, 3);
  EXPECT_EQ(m.prompt_tokens, 22);
  EXPECT_EQ(m.prompts_by_server, 1);
  EXPECT_EQ(m.output_tokens, 5);
  EXPECT_EQ(m.good, 1) << "the second one's first token came after 1.5 s";
  EXPECT_EQ(m.latencies[static_cast<size_t>(Latency::kTtft)].mean(), 1000);
  EXPECT_EQ(m.latencies[static_cast<size_t>(Latency::kItl)].sorted(), (std::vector<double>{0, 250, 250}));
  EXPECT_EQ(m.statuses, (std::map<std::string, int>{{"429", 2}, {"none", 1}}));
  EXPECT_EQ(m.errors.at("429: busy, retry in # s").n, 2);
  EXPECT_EQ(m.errors.at("429: busy, retry in # s").example, "429: busy, retry in 12 s");
  EXPECT_EQ(m.send_lag.max(), 250);
  EXPECT_EQ(m.per_second(8), 2);
}

TEST(Measures, ErrorsAreBounded) {
  RunResult run;
  for (int i = 1; i <= 100; ++i) run.records.push_back(failure(500, std::string(static_cast<size_t>(i), 'x').c_str()));
  const Measures m = measure(run, {});
  EXPECT_EQ(m.errors.size(), kErrorsMax);
  EXPECT_EQ(m.statuses.at("500"), 100);
}

TEST(Bounds, Parse) {
  const auto bound = parse_bound("tpot:12.5");
  ASSERT_TRUE(bound.ok());
  EXPECT_EQ(bound->latency, Latency::kTpot);
  EXPECT_EQ(bound->milliseconds_max, 12.5);
  for (const char* text : {"", "ttft", "ttft:", "ttft:x", "ttft:-1", "ttft:inf", "itl:5", "x:5", "ttft:0"}) {
    EXPECT_FALSE(parse_bound(text).ok()) << text;
  }
}

}  // namespace
}  // namespace polymath::commands::load
