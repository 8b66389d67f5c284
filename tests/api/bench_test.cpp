// Tests of `polymath bench offline` and `polymath bench kernels`.

#include <gtest/gtest.h>

#include "commands/bench_kernels.h"
#include "commands/bench_sequences.h"

namespace polymath::test {
namespace {

// Bytes of weights read by a decode of 16 sequences.
double weight_bytes_read(bool same_tokens) {
  commands::Settings settings{.model = POLYMATH_STAND_IN, .kv_bytes = 4 << 20, .step_tokens = 128, .sequences = 16};
  settings.bench_input = 8;
  settings.bench_output = 8;
  settings.bench_same_tokens = same_tokens;
  base::MetricsRegistry metrics;
  auto house = commands::House::open(settings);
  EXPECT_TRUE(house.ok() && (*house)->load(settings, metrics).ok());
  commands::Sequences sequences(**house, settings, 16, settings.bench_input);
  EXPECT_TRUE(sequences.step(settings.bench_input).ok());
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
    commands::Settings settings{.model = POLYMATH_STAND_IN, .kv_bytes = 4 << 20, .step_tokens = 64, .sequences = 4};
    settings.backend = "reference";
    settings.bench_input = 3;
    settings.bench_output = 4;
    settings.bench_feedback = feedback;
    base::MetricsRegistry metrics;
    auto house = commands::House::open(settings);
    ASSERT_TRUE(house.ok() && (*house)->load(settings, metrics).ok());
    ASSERT_EQ((*house)->transformer().steps_in_flight_max(), 2);
    commands::Sequences sequences(**house, settings, 4, settings.bench_input);
    ASSERT_TRUE(sequences.step(settings.bench_input).ok());
    const auto times = sequences.steps_ahead(settings.bench_output);
    ASSERT_TRUE(times.ok()) << times.status();
    EXPECT_GT(times->seconds, 0);
    EXPECT_EQ(times->host_seconds.size(), static_cast<size_t>(settings.bench_output));
    EXPECT_EQ(sequences.computed(), settings.bench_input + settings.bench_output);
  }
}

// Every op of a layer, on the CPU backend and on the reference, which has no layout of its own.
TEST(BenchKernels, EveryOpOfALayerHasItsLines) {
  for (const char* backend : {"cpu", "reference"}) {
    commands::Settings settings{.model = POLYMATH_STAND_IN};
    settings.backend = backend;
    settings.threads = 2;
    settings.bench_batch = {1, 3};
    settings.bench_input = 5;
    testing::internal::CaptureStdout();
    const absl::Status status = commands::bench_kernels(settings);
    const std::string out = testing::internal::GetCapturedStdout();
    ASSERT_TRUE(status.ok()) << status;
    for (const char* op :
         {"q, k, v", "attention ", "attention's output", "routing to 2 of 8", "experts of 192", "lm_head"}) {
      size_t lines = 0;
      for (size_t at = out.find(op); at != std::string::npos; at = out.find(op, at + 1)) ++lines;
      EXPECT_GE(lines, 3u) << op << " on " << backend << ":\n" << out;  // two batches and a prompt
    }
  }
}

}  // namespace
}  // namespace polymath::test
