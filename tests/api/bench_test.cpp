// Tests of `polymath bench offline`, `bench kernels`, `bench ranks` and `bench quality`.

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "base/json.h"
#include "base/read_file.h"
#include "commands/bench/bench_kernels.h"
#include "commands/bench/bench_ranks.h"
#include "commands/bench/bench_sequences.h"
#include "commands/quality/bench_quality.h"

namespace polymath::test {
namespace {

// Bytes of weights read by a decode of 16 sequences.
double weight_bytes_read(bool same_tokens) {
  commands::Options options;
  options.model.name = POLYMATH_STAND_IN;
  options.runtime = {.kv_bytes = 4 << 20, .step_tokens = 128, .sequences = 16};
  options.bench.input = 8;
  options.bench.output = 8;
  options.bench.same_tokens = same_tokens;
  base::MetricsRegistry metrics;
  auto runtime = commands::Runtime::open(options.model, options.runtime);
  EXPECT_TRUE(runtime.ok() && (*runtime)->load(metrics).ok());
  commands::Sequences sequences(**runtime, options.bench, 16, options.bench.input);
  EXPECT_TRUE(sequences.step(options.bench.input).ok());
  EXPECT_TRUE(sequences.step(1).ok());
  return sequences.cost().weight_bytes;
}

// 16 times one token visit top_k = 2 of the 8 experts in each layer; 16 random ones, nearly all.
TEST(BenchOffline, TheSamePromptsVisitTheSameExperts) {
  const double same = weight_bytes_read(true), random = weight_bytes_read(false);
  const double expert = 3 * 128 * 192 * 2, layers = 4;
  EXPECT_LE(same, random - 4 * layers * expert);
}

// On a backend that samples: two steps in flight.
TEST(BenchOffline, StepsAreMadeAheadWhereTheBackendChooses) {
  for (const bool feedback : {false, true}) {
    commands::Options options;
    options.model.name = POLYMATH_STAND_IN;
    options.runtime = {.backend = "reference", .kv_bytes = 4 << 20, .step_tokens = 64, .sequences = 4};
    options.bench.input = 3;
    options.bench.output = 4;
    options.bench.feedback = feedback;
    base::MetricsRegistry metrics;
    auto runtime = commands::Runtime::open(options.model, options.runtime);
    ASSERT_TRUE(runtime.ok() && (*runtime)->load(metrics).ok());
    ASSERT_EQ((*runtime)->transformer().steps_in_flight_max(), 2);
    commands::Sequences sequences(**runtime, options.bench, 4, options.bench.input);
    ASSERT_TRUE(sequences.step(options.bench.input).ok());
    const auto times = sequences.steps_ahead(options.bench.output);
    ASSERT_TRUE(times.ok()) << times.status();
    EXPECT_GT(times->seconds, 0);
    EXPECT_EQ(times->host_seconds.size(), static_cast<size_t>(options.bench.output));
    EXPECT_EQ(sequences.computed(), options.bench.input + options.bench.output);
  }
}

// Every op of a layer, on the CPU backend and on the reference, which has no layout of its own.
TEST(BenchKernels, EveryOpOfALayerHasItsLines) {
  for (const char* backend : {"cpu", "reference"}) {
    commands::Options options;
    options.model.name = POLYMATH_STAND_IN;
    options.runtime.backend = backend;
    options.runtime.threads = 2;
    options.bench.batch = {1, 3};
    options.bench.input = 5;
    testing::internal::CaptureStdout();
    const absl::Status status = commands::bench_kernels(options);
    const std::string out = testing::internal::GetCapturedStdout();
    ASSERT_TRUE(status.ok()) << status;
    for (const char* op : {"qkv ", "attention ", "attn_out ", "routing to 2 of 8", "experts of 192", "lm_head"}) {
      size_t lines = 0;
      for (size_t at = out.find(op); at != std::string::npos; at = out.find(op, at + 1)) ++lines;
      EXPECT_GE(lines, 3u) << op << " on " << backend << ":\n" << out;  // two batches and a prompt
    }
  }
}

// 8.5 bits a weight: an expert's three matrices of 128 x 192 have fewer bytes than in bf16.
TEST(BenchKernels, WeightsArePackedAsAsked) {
  double bytes[2] = {};
  for (const bool packed : {false, true}) {
    commands::Options options;
    options.model.name = POLYMATH_STAND_IN;
    if (packed) options.model.quantization = "q8_0";
    options.runtime.backend = "cpu";
    options.bench.batch = {1};
    options.bench.input = 5;
    testing::internal::CaptureStdout();
    const absl::Status status = commands::bench_kernels(options);
    const std::string out = testing::internal::GetCapturedStdout();
    ASSERT_TRUE(status.ok()) << status;
    const size_t line = out.find("experts of 192");
    double us = 0, tokens = 0, gbs = 0;
    ASSERT_NE(line, std::string::npos) << out;
    ASSERT_EQ(std::sscanf(out.c_str() + out.find("decode of 1", line), "decode of 1 %lf us %lf tok/s %lf GB/s", &us,
                          &tokens, &gbs),
              3)
        << out;
    bytes[packed] = us * gbs * 1e3;
  }
  EXPECT_LT(bytes[1], 0.75 * bytes[0]);  // figures have one decimal
}

TEST(BenchRanks, SumsAndGathersHaveTheirLines) {
  commands::Options options;
  options.model.name = POLYMATH_STAND_IN;
  options.runtime.backend = "cpu";
  EXPECT_EQ(commands::bench_ranks(options).code(), absl::StatusCode::kInvalidArgument);
  options.runtime.tensor_parallel = 2;
  testing::internal::CaptureStdout();
  const absl::Status status = commands::bench_ranks(options);
  const std::string out = testing::internal::GetCapturedStdout();
  ASSERT_TRUE(status.ok()) << status;
  for (const char* line :
       {"all_reduce_sum        1 x 128", "all_reduce_sum     8192 x 128", "all_gather_cols       1 x "})
    EXPECT_NE(out.find(line), std::string::npos) << line << "\n" << out;
}

// The figures of the stand-in in `dtype` against itself in float32, over `tokens` letters in windows of `context`.
base::JsonObject quality_of(const std::string& dtype, int tokens, int context) {
  const std::string name = testing::TempDir() + "quality_" + dtype + std::to_string(tokens);
  std::ofstream text(name + ".txt");
  for (int i = 0; i < tokens; ++i) text << "abc dog"[i * i % 7];
  text.close();
  commands::Options options;
  options.model.name = options.quality.against = POLYMATH_STAND_IN;
  options.model.dtype = dtype;
  options.runtime.backend = "cpu";
  options.quality.reference_dtype = "float32";
  options.quality.text = name + ".txt";
  options.quality.context = context;
  options.bench.output_json = name + ".json";
  testing::internal::CaptureStdout();
  const absl::Status status = commands::bench_quality(options);
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_NE(out.find("KL divergence"), std::string::npos) << out;
  const auto json = base::parse_json(*base::read_file(name + ".json", 1 << 20), {});
  return json.ok() && json->is_object() ? json->as_object() : base::JsonObject{};
}

// Windows are several and end within a step, so positions are counted once each.
TEST(BenchQuality, AModelDoesNotDivergeFromItself) {
  const base::JsonObject f = quality_of("float32", 300, 70);
  EXPECT_GT(f.at("positions").to_number<int>(), 150);
  EXPECT_LT(f.at("positions").to_number<int>(), 300);
  EXPECT_EQ(f.at("kl_max").to_number<double>(), 0);
  EXPECT_EQ(f.at("same_top_share").to_number<double>(), 1);
  EXPECT_EQ(f.at("perplexity"), f.at("reference_perplexity"));
}

TEST(BenchQuality, ASmallerDtypeDiverges) {
  const base::JsonObject f = quality_of("bfloat16", 100, 64);
  EXPECT_GT(f.at("kl_mean").to_number<double>(), 0);
  EXPECT_LT(f.at("kl_mean").to_number<double>(), 0.01);
  EXPECT_GT(f.at("largest_logit_error").to_number<double>(), 0);
  EXPECT_NEAR(f.at("perplexity").to_number<double>() / f.at("reference_perplexity").to_number<double>(), 1, 0.05);
}

TEST(BenchQuality, WhatIsMissingIsNamed) {
  commands::Options options;
  options.model.name = POLYMATH_STAND_IN;
  EXPECT_NE(commands::bench_quality(options).message().find("--against"), std::string::npos);
  options.quality.against = POLYMATH_STAND_IN;
  EXPECT_NE(commands::bench_quality(options).message().find("--text"), std::string::npos);
  options.runtime.backend = "cpu";
  options.quality.text = "no/such/file";
  EXPECT_NE(commands::bench_quality(options).message().find("no/such/file"), std::string::npos);
  options.quality.context = 1 << 24;
  EXPECT_NE(commands::bench_quality(options).message().find("--context"), std::string::npos);
}

}  // namespace
}  // namespace polymath::test
