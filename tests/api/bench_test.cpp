// Tests of `polymath bench offline` and `polymath bench kernels`.

#include <gtest/gtest.h>

#include "commands/bench_kernels.h"
#include "commands/bench_sequences.h"

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

}  // namespace
}  // namespace polymath::test
