// The flags of bench serve: their values, and what is refused.

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "commands/flags/flags.h"

namespace polymath::commands {
namespace {

TEST(LoadFlags, OfBenchServe) {
  const auto o = parse_flags(kBenchServe, {"--backend",
                                           "tgi",
                                           "--request-rate",
                                           "2.5",
                                           "--burstiness",
                                           "inf",
                                           "--random-input-len",
                                           "uniform:5-9",
                                           "--goodput",
                                           "ttft:500",
                                           "e2el:9000",
                                           "--metric-percentiles",
                                           "50,99.9",
                                           "--seed",
                                           "3",
                                           "--percentile-metrics",
                                           "itl,ttft",
                                           "--result-filename",
                                           "r",
                                           "--header",
                                           "X-Team=a"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_TRUE(o->model.name.empty()) << "the server says which model it has";
  EXPECT_EQ(o->load.backend, "tgi");
  EXPECT_EQ(o->load.arrivals.rate, 2.5);
  EXPECT_TRUE(std::isinf(o->load.arrivals.shape));
  EXPECT_EQ(o->load.input_len.text(), "uniform:5-9");
  EXPECT_EQ(o->load.output_len.text(), "128");
  EXPECT_EQ(o->load.bounds.size(), 2u);
  EXPECT_EQ(o->load.percentiles, (std::vector<double>{50, 99.9}));
  EXPECT_EQ(o->load.shown, (std::vector<load::Latency>{load::Latency::kItl, load::Latency::kTtft}));
  EXPECT_EQ(o->bench.output_json, "r");
  EXPECT_EQ(o->load.headers, (std::vector<std::string>{"X-Team: a"}));
  EXPECT_EQ(o->model.seed, 3u);
}

TEST(LoadFlags, Refusals) {
  struct Refusal {
    std::vector<std::string> arguments;
    absl::StatusCode code;
    const char* says;
  };
  const Refusal rows[] = {
      {{"--backend", "grpc"}, absl::StatusCode::kInvalidArgument, "one of openai, vllm, openai-chat, tgi"},
      {{"--base-url", "https://a"}, absl::StatusCode::kUnimplemented, "--base-url: https is not built"},
      {{"--request-rate", "0"}, absl::StatusCode::kInvalidArgument, "above 0"},
      {{"--request-timeout", "0"}, absl::StatusCode::kInvalidArgument, "above 0"},
      {{"--random-input-len", "0"}, absl::StatusCode::kInvalidArgument, "no length"},
      {{"--goodput", "itl:5"}, absl::StatusCode::kInvalidArgument, "none of ttft:MS"},
      {{"--percentile-metrics", "ttft,x"}, absl::StatusCode::kInvalidArgument, "not one of ttft"},
      {{"--endpoint", "v1"}, absl::StatusCode::kInvalidArgument, "begins with /"},
      {{"--dataset-name", "sharegpt"}, absl::StatusCode::kUnimplemented, "prompts are random"},
      {{"--max-num-seqs", "5"}, absl::StatusCode::kInvalidArgument, "there is no flag"},
  };
  for (const Refusal& row : rows) {
    const auto refused = parse_flags(kBenchServe, row.arguments);
    EXPECT_EQ(refused.status().code(), row.code) << row.says;
    EXPECT_NE(std::string(refused.status().message()).find(row.says), std::string::npos) << refused.status();
  }
}

}  // namespace
}  // namespace polymath::commands
