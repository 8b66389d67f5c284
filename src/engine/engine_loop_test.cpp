// A running loop allocates nothing: this binary counts operator new.

#include "engine/engine_loop.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "engine/fake_model_test.h"

namespace {
thread_local int64_t n_allocations = 0;
}

void* operator new(size_t bytes) {
  ++n_allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace polymath::engine {
namespace {

class Silent : public TokenSink {
 public:
  void on_token(const TokenOutput&) override { ++n_tokens; }
  void on_finish(const Finish&) override { ++n_finished; }
  int n_tokens = 0, n_finished = 0;
};

struct Case {
  const char* name;
  int depth;
  bool drafts, recurrent;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class EngineLoopAllocates : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Steps, EngineLoopAllocates,
                         ::testing::Values(Case{"host", 1, false, false}, Case{"device", 2, false, false},
                                           Case{"drafts", 1, true, false}, Case{"recurrent", 2, false, true}));

TEST_P(EngineLoopAllocates, NothingInSteps) {
  constexpr int kVocab = 500;
  EngineOptions options{.model_name = "fake",
                        .n_blocks = 40,
                        .model_len_max = 300,
                        .step_tokens_max = 64,
                        .sequences_max = 8,
                        .logit_rows_max = 40,
                        .waiting_max = 64};
  if (GetParam().drafts) {
    options.speculation = {.method = "ngram", .n_draft_max = 5, .lookup_min = 1, .lookup_max = 3};
  }
  if (GetParam().recurrent) options.n_state_slots = 8, options.n_state_snapshots = 20, options.snapshot_blocks = 2;
  FakeModel model(kVocab, options.block_size, {options.n_blocks, options.n_state_slots + options.n_state_snapshots},
                  options.logit_rows_max, GetParam().depth);
  base::MetricsRegistry registry;
  EngineLoop loop(model, options, registry);
  const auto sink = std::make_shared<Silent>();
  const auto admit = [&](int i) {
    Request request;
    request.prompt.resize(20 + i % 5 * 20);
    for (size_t at = 0; at < request.prompt.size(); ++at) request.prompt[at] = static_cast<int32_t>(at * 3 % kVocab);
    request.sampling.temperature = i % 3 == 0 ? 0 : 1;
    request.sampling.top_p = i % 2 == 0 ? 0.9f : 1;
    request.sampling.top_k = i % 5 == 0 ? 40 : 0;
    request.sampling.repetition_penalty = i % 4 == 0 ? 1.1f : 1;
    if (i % 3 == 0) request.sampling.logit_bias = {{3, -1.f}};
    if (GetParam().drafts) request.sampling.allowed_ids = {1, 2, 3};
    request.sampling.logprobs = i % 4 == 2 ? 5 : -1;
    request.sampling.prompt_logprobs = i % 7 == 0 ? 3 : -1;
    request.sampling.max_tokens = 60 + i;
    request.sampling.seed = i;
    request.sink = sink;
    loop.admit(loop.make_request(std::move(request), i + 1));
  };
  for (int i = 0; i < 40; ++i) admit(i);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(loop.step().ok());
  const int64_t before = n_allocations;
  while (loop.busy() && loop.step().ok()) loop.ended().clear();
  EXPECT_EQ(n_allocations - before, 0);
  EXPECT_EQ(sink->n_finished, 40);
  EXPECT_GT(loop.stats().preemptions, 0u);
  EXPECT_EQ(model.n_ahead > 0, GetParam().depth > 1);
  EXPECT_EQ(model.n_resumed > 0, GetParam().recurrent);
  EXPECT_TRUE(!GetParam().drafts || model.n_forwards < static_cast<int64_t>(loop.stats().generated_tokens) / 8);
}

}  // namespace
}  // namespace polymath::engine
