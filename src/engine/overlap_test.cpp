// Steps that are planned and started while the previous one runs: the same outputs, whatever ends in between.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/harness_test.h"

namespace polymath::engine {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<FinishReason> reasons;
  int64_t n_sampled = 0, n_ahead = 0;
  EngineStats stats;
};

Outcome answers(int depth, const EngineOptions& options, const std::function<bool(const Kind&)>& takes, bool stops) {
  Harness harness(depth, options);
  std::vector<std::shared_ptr<Recorder>> sinks;
  for (int i = 0; i < 48; ++i) {
    const Kind& kind = kKinds[i % std::size(kKinds)];
    if (!takes(kind)) continue;
    sinks.push_back(std::make_shared<Recorder>());
    Request request{.prompt = prompt(3 + i * 37 % 90, i % 4), .sink = sinks.back()};
    request.sampling.seed = 77 + i;
    request.sampling.max_tokens = 1 + i * 29 % 80;
    if (stops) request.sampling.stop_ids = {3, 19, 40, 77};
    request.sampling.max_tokens = std::max(13, request.sampling.max_tokens);
    kind.set(request);
    harness.add(std::move(request));
    const bool steps = i % 3 == 0;
    EXPECT_TRUE(!steps || harness.step().ok());
  }
  harness.run();
  Outcome out{.n_sampled = harness.model.n_sampled, .n_ahead = harness.model.n_ahead, .stats = harness.loop->stats()};
  for (const auto& sink : sinks) {
    EXPECT_FALSE(sink->wrong_order());
    out.tokens.push_back(sink->tokens());
    out.reasons.push_back(sink->wait().reason);
  }
  return out;
}

// `who`: the requests that run are "all", those sampled on the "device", or those sampled on the "host".
void expect_same_answers(const EngineOptions& options, std::string_view who, bool stops) {
  SCOPED_TRACE(testing::Message() << who << ", blocks " << options.n_blocks << ", stops " << stops);
  const bool on_host = who == "host", on_device = who == "device";
  const auto takes = [&](const Kind& k) { return who == "all" || k.on_device == on_device; };
  const Outcome alone = answers(1, options, takes, stops), ahead = answers(2, options, takes, stops);
  EXPECT_EQ(alone.tokens, ahead.tokens);
  EXPECT_EQ(alone.reasons, ahead.reasons);
  EXPECT_EQ(alone.n_sampled, 0);
  EXPECT_EQ(alone.stats.generated_tokens, ahead.stats.generated_tokens);
  EXPECT_TRUE(on_host || ahead.n_ahead > 100);
  if (on_device && !stops) {
    EXPECT_EQ(static_cast<uint64_t>(ahead.n_sampled), ahead.stats.generated_tokens) << "none for nothing";
  }
  EXPECT_TRUE(on_host || (ahead.stats.preemptions > 0) == (options.n_blocks == 14));
}

TEST(Overlap, GivesTheSameAnswers) {
  const EngineOptions roomy, small_steps{.step_tokens_max = 20, .mixing = {.prompt_tokens_max = 7}, .sequences_max = 6};
  const EngineOptions tight{.n_blocks = 14, .model_len_max = 200, .step_tokens_max = 60, .sequences_max = 8};
  const EngineOptions bare{.n_blocks = 14, .model_len_max = 200, .sequences_max = 8, .prefix_caching = false};
  for (const EngineOptions& options : {roomy, small_steps, tight, bare}) {
    for (const bool stops : {false, true}) {
      for (const char* who : {"all", "device", "host"}) expect_same_answers(options, who, stops);
    }
  }
}

// Limits, arrivals, kinds and cancellations from a seed: each request gets the output that it gets alone.
void live_through(uint32_t seed) {
  std::mt19937 random(seed);
  const auto up_to = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n + 1)); };
  Harness harness(2, {.block_size = 1 << up_to(4),
                      .n_blocks = 130 + up_to(200),
                      .model_len_max = 120,
                      .step_tokens_max = 8 + up_to(100),
                      .mixing = {.prompt_tokens_max = up_to(1) * (1 + up_to(20))},
                      .sequences_max = 1 + up_to(7),
                      .waiting_max = 64,
                      .prefix_caching = up_to(3) != 0,
                      .policy = up_to(1) == 0 ? "priority" : "fcfs"});
  struct Asked {
    Request request;
    std::shared_ptr<Recorder> sink;
    RunningRequest* answer;
  };
  std::vector<Asked> all;
  for (int i = 0; i < 40; ++i) {
    Asked asked{.sink = std::make_shared<Recorder>()};
    asked.request = {.prompt = prompt(1 + up_to(60), up_to(2)), .priority = up_to(2), .sink = asked.sink};
    asked.request.sampling.seed = random();
    asked.request.sampling.max_tokens = 13 + up_to(50);
    asked.request.sampling.stop_ids = {up_to(kVocab - 1), up_to(kVocab - 1)};
    kKinds[random() % std::size(kKinds)].set(asked.request);
    asked.answer = &harness.add(asked.request);
    all.push_back(asked);
    for (int steps = up_to(6); steps > 0 && harness.loop->busy(); --steps) ASSERT_TRUE(harness.step().ok());
    const Asked& unlucky = all[up_to(static_cast<int>(all.size()) - 1)];
    if (up_to(3) == 0 && !unlucky.sink->finished()) {
      unlucky.answer->mark = CancelMark::kCancel;
      harness.loop->end_marked();
      harness.loop->check_invariants();
    }
    harness.loop->ended().clear();
  }
  harness.run();
  for (Asked& asked : all) {
    ASSERT_TRUE(asked.sink->finished() && !asked.sink->wrong_order());
    Harness alone(1, {.model_len_max = 120});
    Request again = asked.request;
    const auto sink = std::make_shared<Recorder>();
    again.sink = sink;
    alone.add(std::move(again));
    alone.run();
    std::vector<int32_t> expected = sink->tokens();
    const bool cancelled = asked.sink->wait().reason == FinishReason::kCancelled;
    if (cancelled) expected.resize(std::min(expected.size(), asked.sink->tokens().size()));
    ASSERT_EQ(asked.sink->tokens(), expected);
    ASSERT_TRUE(cancelled || asked.sink->wait().reason == sink->wait().reason);
  }
}

TEST(Overlap, LivesThroughEverySeed) {
  for (uint32_t seed = 0; seed < 100 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    live_through(seed);
  }
}

// Only the host can sample: steps stay whole, as with one in flight.
TEST(Overlap, IsOffWhereTheHostSamples) {
  uint64_t steps[2];
  for (const int depth : {1, 2}) {
    Harness harness(depth);
    std::vector<std::shared_ptr<Recorder>> sinks(6);
    for (int i = 0; i < 6; ++i) {
      sinks[i] = std::make_shared<Recorder>();
      Request request = greedy(10, i, 30, sinks[i]);
      request.sampling.logprobs = 1;
      harness.add(std::move(request));
    }
    harness.run();
    steps[depth - 1] = harness.loop->stats().steps;
  }
  EXPECT_EQ(steps[0], steps[1]);
}

// The token after the stop is in flight when the stop is seen.
TEST(Overlap, AStopInMidFlightDropsWhatFollows) {
  Harness harness(2);
  const auto stopped = std::make_shared<Recorder>(), other = std::make_shared<Recorder>();
  Request request = greedy(20, 3, 100, stopped);
  const auto whole = FakeModel::answer(request.prompt, 100, kVocab);
  request.sampling.stop_ids = {whole[20]};
  const auto end = std::find(whole.begin(), whole.end(), whole[20]) + 1;
  harness.add(std::move(request));
  harness.add(greedy(20, 4, 150, other));
  while (!stopped->finished()) ASSERT_TRUE(harness.step().ok());
  EXPECT_EQ(harness.model.n_in_flight(), 1);
  EXPECT_EQ(stopped->tokens(), std::vector<int32_t>(whole.begin(), end));
  EXPECT_EQ(stopped->wait().reason, FinishReason::kStop);
  harness.loop->ended().clear();  // nothing may look at it any more
  harness.run();
  EXPECT_EQ(other->tokens(), FakeModel::answer(prompt(20, 4), 150, kVocab));
  EXPECT_FALSE(stopped->wrong_order() || other->wrong_order());
  const auto n_tokens = static_cast<int64_t>(harness.loop->stats().generated_tokens);
  EXPECT_EQ(harness.model.n_sampled - n_tokens, 1);
}

// The last step has rows of ended requests only. It is finished, too.
TEST(Overlap, AStepOfEndedRequestsIsFinished) {
  Harness harness(2);
  const auto sink = std::make_shared<Recorder>();
  Request request = greedy(20, 3, 100, sink);
  request.sampling.eos_ids = {FakeModel::answer(request.prompt, 1, kVocab)[0]};
  harness.add(std::move(request));
  ASSERT_TRUE(harness.step().ok());
  EXPECT_TRUE(sink->finished());
  EXPECT_EQ(harness.model.n_in_flight(), 1);
  EXPECT_TRUE(harness.loop->busy());
  harness.run();
}

TEST(Overlap, CancelInMidFlightFreesBlocksThatOthersTakeAtOnce) {
  Harness harness(2, {.n_blocks = 8, .model_len_max = 120, .prefix_caching = false});
  const auto cancelled = std::make_shared<Recorder>(), next = std::make_shared<Recorder>();
  RunningRequest& first = harness.add(greedy(60, 3, 50, cancelled));
  harness.add(greedy(70, 4, 50, next));  // waits for the blocks of the first
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(harness.step().ok());
  EXPECT_TRUE(next->tokens().empty());
  EXPECT_EQ(harness.model.n_in_flight(), 1);
  first.mark = CancelMark::kCancel;
  harness.loop->end_marked();
  harness.loop->ended().clear();
  harness.loop->check_invariants();
  EXPECT_EQ(cancelled->wait().reason, FinishReason::kCancelled);
  const size_t n = cancelled->tokens().size();
  harness.run();
  EXPECT_EQ(cancelled->tokens().size(), n);
  EXPECT_FALSE(cancelled->wrong_order());
  EXPECT_EQ(next->tokens(), FakeModel::answer(prompt(70, 4), 50, kVocab));
}

TEST(Overlap, APreemptedSequenceGetsTheTokenThatWasInFlight) {
  Harness harness(2, {.n_blocks = 6, .model_len_max = 90, .prefix_caching = false});
  const auto one = std::make_shared<Recorder>(), two = std::make_shared<Recorder>();
  harness.add(greedy(31, 1, 50, one));
  RunningRequest& second = harness.add(greedy(30, 2, 30, two));
  while (harness.loop->stats().preemptions == 0) {
    const int known = second.token_len(), unknown = second.n_unknown;
    ASSERT_TRUE(harness.step().ok());
    if (harness.loop->stats().preemptions == 0) continue;
    EXPECT_EQ(unknown, 1);
    EXPECT_EQ(second.n_unknown, 0);
    EXPECT_EQ(second.token_len(), known + 1);
    EXPECT_TRUE(second.blocks.empty());
  }
  harness.run();
  EXPECT_EQ(one->tokens(), FakeModel::answer(prompt(31, 1), 50, kVocab));
  EXPECT_EQ(two->tokens(), FakeModel::answer(prompt(30, 2), 30, kVocab));
}

TEST(Overlap, AFailureInMidFlightEndsEveryRequestOnce) {
  for (const bool at_start : {false, true}) {
    for (int64_t at = 0; at < 12; ++at) {
      Harness harness(2, {.step_tokens_max = 40, .sequences_max = 4});
      (at_start ? harness.model.fail_at_start : harness.model.fail_at) = at;
      std::vector<std::shared_ptr<Recorder>> sinks;
      for (int i = 0; i < 8; ++i) {
        sinks.push_back(std::make_shared<Recorder>());
        harness.add(greedy(20 + 5 * i, i, 30, sinks.back()));
      }
      absl::Status status;
      while (status.ok()) status = harness.step();
      harness.loop->end_all(FinishReason::kError, std::string(status.message()));
      harness.loop->check_invariants();
      EXPECT_FALSE(harness.loop->busy());
      for (const auto& sink : sinks) {
        ASSERT_TRUE(sink->finished());
        EXPECT_EQ(sink->wait().reason, FinishReason::kError);
        EXPECT_THAT(sink->wait().error, HasSubstr("the device is gone"));
        EXPECT_FALSE(sink->wrong_order());
      }
    }
  }
}

TEST(Overlap, AStepThatIsToFailDoes) {
  for (const int depth : {1, 2}) {
    Harness harness(depth);
    harness.loop->fail_at(3);
    harness.add(greedy(20, 1, 30, std::make_shared<Recorder>()));
    EXPECT_TRUE(harness.step().ok());
    EXPECT_TRUE(harness.step().ok());
    EXPECT_EQ(harness.step().code(), absl::StatusCode::kInternal);
    harness.loop->end_all(FinishReason::kError, "");
  }
}

TEST(Overlap, LogitsThatAreNoNumbersEndTheRequestAlone) {
  Harness harness(2);
  const auto broken = std::make_shared<Recorder>(), good = std::make_shared<Recorder>();
  harness.add(greedy(20, 1, 30, broken));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(harness.step().ok());
  harness.model.not_a_number = true;
  ASSERT_TRUE(harness.step().ok());
  harness.model.not_a_number = false;
  EXPECT_EQ(broken->wait().reason, FinishReason::kError);
  EXPECT_THAT(broken->wait().error, HasSubstr("NaN"));
  harness.add(greedy(20, 2, 30, good));
  harness.run();
  EXPECT_EQ(good->tokens(), FakeModel::answer(prompt(20, 2), 30, kVocab));
}

TEST(Overlap, EndingInMidFlightLeavesTheModelAtRest) {
  Harness harness(2);
  const auto sink = std::make_shared<Recorder>();
  harness.add(greedy(20, 1, 30, sink));
  ASSERT_TRUE(harness.step().ok());
  EXPECT_EQ(harness.model.n_in_flight(), 1);
  harness.loop->end_all(FinishReason::kCancelled, "");
  EXPECT_EQ(harness.model.n_in_flight(), 0);
  EXPECT_FALSE(harness.loop->busy());
}

TEST(Overlap, TheHostsTimeIsWithoutTheDevices) {
  Harness harness(2);
  harness.model.step_us = 20000;
  harness.add(greedy(20, 1, 10, std::make_shared<Recorder>()));
  harness.run();
  const std::string text = harness.registry.render(), labels = R"({engine="0",model_name="fake")";
  EXPECT_THAT(text, HasSubstr("polymath:step_host_seconds_count" + labels + "} 10"));
  const std::string sum = "polymath:step_host_seconds_sum" + labels + "} ";
  const size_t at = text.find(sum);
  ASSERT_NE(at, text.npos);
  EXPECT_LT(std::stod(text.substr(at + sum.size())), 0.1) << "of 0.2 s that the model took";
}

}  // namespace
}  // namespace polymath::engine
