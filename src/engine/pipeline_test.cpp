// Several steps in flight over the stages of a pipeline: the same outputs as of one step at a time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/fake_pipeline_test.h"
#include "engine/harness_test.h"

namespace polymath::engine {
namespace {

using ::testing::HasSubstr;

using Pipeline = HarnessOf<FakePipeline, FakePipeline::Shape>;

struct Outcome {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<FinishReason> reasons;
  EngineStats stats;
};

// Requests of every kind arrive while others run; some stop early, every seventh is cancelled at once.
template <typename H>
Outcome outcome(H& harness, bool stops) {
  std::vector<std::shared_ptr<Recorder>> sinks;
  for (int i = 0; i < 48; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    Request request{.prompt = prompt(3 + i * 37 % 90, i % 4), .sink = sinks.back()};
    request.sampling.seed = 77 + i;
    request.sampling.max_tokens = std::max(13, 1 + i * 29 % 80);
    if (stops) request.sampling.stop_ids = {3, 19, 40, 77};
    kKinds[i % std::size(kKinds)].set(request);
    RunningRequest& running = harness.add(std::move(request));
    const bool steps = i % 3 == 0;
    EXPECT_TRUE(!steps || harness.step().ok());
    if (i % 7 == 6) {
      running.mark = CancelMark::kCancel;
      harness.loop->end_marked();
      harness.loop->check_invariants();
    }
  }
  harness.run();
  Outcome out{.stats = harness.loop->stats()};
  for (size_t i = 0; i < sinks.size(); ++i) {
    EXPECT_FALSE(sinks[i]->wrong_order());
    out.tokens.push_back(i % 7 == 6 ? std::vector<int32_t>() : sinks[i]->tokens());
    out.reasons.push_back(sinks[i]->wait().reason);
  }
  return out;
}

TEST(Pipeline, GivesTheOutputsOfOneStepAtATime) {
  const EngineOptions roomy, small_steps{.step_tokens_max = 20, .mixing = {.prompt_tokens_max = 7}, .sequences_max = 6};
  const EngineOptions tight{.n_blocks = 14, .model_len_max = 200, .step_tokens_max = 60, .sequences_max = 8};
  const EngineOptions bare{.n_blocks = 14, .model_len_max = 200, .sequences_max = 8, .prefix_caching = false};
  EngineOptions drafts;
  drafts.speculation = {.method = "ngram", .n_draft_max = 4, .lookup_min = 1, .lookup_max = 3};
  drafts.logit_rows_max = 3 * drafts.sequences_max;
  for (const EngineOptions& options : {roomy, small_steps, tight, bare, drafts}) {
    for (const bool stops : {false, true}) {
      Harness one(1, options);
      const Outcome expected = outcome(one, stops);
      for (const int stages : {2, 4, 8}) {
        SCOPED_TRACE(testing::Message() << stages << " stages, blocks " << options.n_blocks << ", stops " << stops);
        Pipeline harness({.depth = stages, .stages = stages, .seed = 5}, options);
        const Outcome got = outcome(harness, stops);
        EXPECT_EQ(got.tokens, expected.tokens);
        EXPECT_EQ(got.reasons, expected.reasons);
        EXPECT_EQ(harness.model.n_in_flight_most(), stages);
        EXPECT_TRUE(options.n_blocks != 14 || got.stats.preemptions > 0);
      }
    }
  }
}

// Decodes are spread over the steps in flight, so that each stage has some.
TEST(Pipeline, SharesDecodesOutBetweenSteps) {
  Pipeline harness({.depth = 4, .stages = 4});
  for (int i = 0; i < 16; ++i) harness.add(greedy(4, i, 64, std::make_shared<Recorder>()));
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(harness.step().ok());
  const int64_t tokens = harness.model.stage(0).n_tokens, steps = harness.model.stage(0).n_starts;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(harness.step().ok());
  EXPECT_EQ(harness.model.stage(0).n_starts - steps, 40);
  EXPECT_EQ(harness.model.stage(0).n_tokens - tokens, 160);
  harness.run();
}

TEST(Pipeline, AStageThatFailsEndsEveryRequest) {
  for (const size_t stage : {0, 1, 2}) {
    const EngineOptions options = Pipeline::fill({});
    FakePipeline model(kVocab, options.block_size, {options.n_blocks}, options.sequences_max, {3, 3, 1});
    model.stage(stage).fail_at = 9;
    base::MetricsRegistry registry;
    Engine engine(model, options, registry);
    std::vector<std::shared_ptr<Recorder>> sinks;
    for (int i = 0; i < 6; ++i) {
      sinks.push_back(std::make_shared<Recorder>());
      ASSERT_TRUE(engine.submit(greedy(5, i, 50, sinks.back())).ok());
    }
    engine.start();
    for (const auto& sink : sinks) {
      const Finish finish = sink->wait();
      EXPECT_EQ(finish.reason, FinishReason::kError);
      EXPECT_THAT(finish.error, HasSubstr("the device is gone"));
    }
    EXPECT_FALSE(engine.healthy());
  }
}

}  // namespace
}  // namespace polymath::engine
