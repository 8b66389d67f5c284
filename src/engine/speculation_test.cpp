// Speculative decoding: the same outputs as plain decoding, whatever the drafts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/harness_test.h"

namespace polymath::engine {
namespace {

using ::testing::HasSubstr;

// Few ids: prompt lookup then finds matches, of which about one in four is right.
constexpr int32_t kFew[] = {1, 2, 3, 50};

EngineOptions speculative(EngineOptions options, int n_draft_max = 4) {
  options.speculation = {.method = "ngram", .n_draft_max = n_draft_max, .lookup_min = 1, .lookup_max = 3};
  options.logit_rows_max = 3 * options.sequences_max;
  return options;
}

struct Outcome {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<FinishReason> reasons;
  std::vector<std::optional<int32_t>> stop_ids;
  std::vector<std::vector<float>> logprobs;
  std::vector<size_t> n_top;
  EngineStats stats;
  std::string metrics;
};

bool operator==(const Outcome& a, const Outcome& b) {
  return a.tokens == b.tokens && a.reasons == b.reasons && a.stop_ids == b.stop_ids && a.logprobs == b.logprobs &&
         a.n_top == b.n_top && a.stats.generated_tokens == b.stats.generated_tokens;
}

// Many requests stop at an id, some of them in the middle of a draft.
Outcome outcome(int depth, const EngineOptions& options) {
  Harness harness(depth, options);
  std::vector<std::shared_ptr<Recorder>> sinks;
  for (int i = 0; i < 60; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    Request request{.prompt = prompt(3 + i * 37 % 90, i % 4), .sink = sinks.back()};
    request.sampling.seed = 77 + i;
    request.sampling.max_tokens = 13 + i * 29 % 80;
    request.sampling.allowed_ids.assign(std::begin(kFew), std::end(kFew));
    if (i % 2 == 0) request.sampling.stop_ids = {50};
    if (i % 3 == 0) request.sampling.eos_ids = {3};
    if (i % 5 == 0) request.sampling.logprobs = i % 4;
    kKinds[i % std::size(kKinds)].set(request);
    harness.add(std::move(request));
    const bool steps = i % 3 == 0;
    EXPECT_TRUE(!steps || harness.step().ok());
  }
  harness.run();
  Outcome out{.stats = harness.loop->stats(), .metrics = harness.registry.render()};
  for (const auto& sink : sinks) {
    EXPECT_FALSE(sink->wrong_order());
    const Finish finish = sink->wait();
    out.tokens.push_back(sink->tokens());
    out.reasons.push_back(finish.reason);
    out.stop_ids.push_back(finish.stop_id);
    out.logprobs.emplace_back();
    for (const auto& sampled : sink->sampled()) out.logprobs.back().push_back(sampled.logprob);
    out.n_top.push_back(sink->n_top());
  }
  return out;
}

TEST(Speculation, GivesTheSameOutputs) {
  const EngineOptions roomy, small_steps{.step_tokens_max = 20, .mixing = {.prompt_tokens_max = 7}, .sequences_max = 6};
  const EngineOptions tight{.n_blocks = 14, .model_len_max = 200, .step_tokens_max = 60, .sequences_max = 8};
  const EngineOptions bare{.n_blocks = 14, .model_len_max = 200, .sequences_max = 8, .prefix_caching = false};
  for (const EngineOptions& options : {roomy, small_steps, tight, bare}) {
    const Outcome plain = outcome(1, options);
    for (const int depth : {1, 2}) {  // 2: a device that could sample
      for (const int n_draft_max : {1, 4, 9}) {
        SCOPED_TRACE(testing::Message() << "depth " << depth << ", drafts " << n_draft_max);
        const Outcome drafted = outcome(depth, speculative(options, n_draft_max));
        EXPECT_TRUE(plain == drafted);
        EXPECT_EQ(plain.tokens, drafted.tokens);
        const bool bound_by_tokens = options.step_tokens_max == 20;
        EXPECT_TRUE(bound_by_tokens || drafted.stats.steps < plain.stats.steps);
      }
    }
  }
}

double value(const std::string& metrics, const std::string& name, const std::string& labels = "") {
  const std::string line = "\n" + name + R"({engine="0",model_name="fake")" + labels + "} ";
  const size_t at = metrics.find(line);
  EXPECT_NE(at, metrics.npos) << line;
  return at == metrics.npos ? -1 : std::stod(metrics.substr(at + line.size()));
}

TEST(Speculation, CountsDrafts) {
  const Outcome drafted = outcome(1, speculative({}));
  const double drafts = value(drafted.metrics, "vllm:spec_decode_num_drafts_total");
  const double tokens = value(drafted.metrics, "vllm:spec_decode_num_draft_tokens_total");
  const double accepted = value(drafted.metrics, "vllm:spec_decode_num_accepted_tokens_total");
  EXPECT_GT(drafts, 100);
  EXPECT_LE(tokens, 4 * drafts);
  EXPECT_GT(tokens, drafts);
  EXPECT_GT(accepted, drafts / 10);
  double sum = 0, before = drafts;
  for (int position = 0; position < 4; ++position) {
    const double at = value(drafted.metrics, "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                            ",position=\"" + std::to_string(position) + "\"");
    EXPECT_LE(at, before);
    before = at;
    sum += at;
  }
  EXPECT_EQ(sum, accepted);
  EXPECT_THAT(outcome(1, {}).metrics, ::testing::Not(HasSubstr("spec_decode")));
}

TEST(Speculation, OptionsThatCannotWorkAreRefused) {
  const FakeModel plain(kVocab, 16, {4}, 4), recurrent(kVocab, 16, {4, 8}, 4);
  struct Case {
    const model::Model* model;
    std::function<void(EngineOptions&)> set;
    const char* sentence;  // empty: it is taken
  };
  const Case cases[] = {
      {&plain, [](auto&) {}, ""},
      {&recurrent, [](auto&) {}, "recurrent layers"},
      {&recurrent, [](auto& o) { o.speculation = {}; }, ""},
      {&plain, [](auto& o) { o.speculation.method = "medusa"; }, "not one of ngram"},
      {&plain, [](auto& o) { o.speculation.n_draft_max = 0; }, "num_speculative_tokens"},
      {&plain, [](auto& o) { o.speculation.n_draft_max = 65; }, "[1, 64]"},
      {&plain, [](auto& o) { o.speculation.lookup_min = 0; }, "prompt_lookup_min"},
      {&plain, [](auto& o) { o.policy = "lifo"; }, "not one of fcfs, priority"},
  };
  for (const Case& c : cases) {
    EngineOptions options = speculative({});
    c.set(options);
    const absl::Status status = check_options(options, *c.model);
    EXPECT_EQ(status.ok(), *c.sentence == 0) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.sentence));
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument);
  }
}

// Recurrent layers through the whole loop: the fake model fails a step whose state is not its sequence's.
TEST(Recurrent, GivesTheSameOutputs) {
  for (const int depth : {1, 2}) {
    for (const int snapshots : {0, 2, 30}) {
      Harness harness(depth, {.n_blocks = 16,
                              .model_len_max = 150,
                              .sequences_max = 6,
                              .n_state_slots = 6,
                              .n_state_snapshots = snapshots,
                              .snapshot_blocks = 1});
      std::vector<std::shared_ptr<Recorder>> sinks;
      for (int i = 0; i < 24; ++i) {
        sinks.push_back(std::make_shared<Recorder>());
        harness.add(greedy(30 + i % 3 * 20, i % 2, 30, sinks.back()));
      }
      harness.run();
      for (int i = 0; i < 24; ++i) {
        EXPECT_EQ(sinks[i]->tokens(), FakeModel::answer(prompt(30 + i % 3 * 20, i % 2), 30, kVocab));
      }
      EXPECT_TRUE(snapshots == 2 || (harness.model.n_resumed > 0) == (snapshots > 0)) << "2: mostly evicted";
    }
  }
}

TEST(Adapters, ShareNoPrefixAndAreBounded) {
  Harness harness(1);
  harness.model.adapters = 2;
  int cached[3];
  for (const int round : {0, 1}) {
    for (int adapter = -1; adapter < 2; ++adapter) {
      const auto sink = std::make_shared<Recorder>();
      Request request = greedy(60, 3, 20, sink);
      request.adapter = adapter;
      harness.add(std::move(request));
      harness.run();
      EXPECT_EQ(sink->tokens(), FakeModel::answer(prompt(60, 3), 20, kVocab, -1, adapter));
      cached[adapter + 1] = sink->wait().cached_tokens;
    }
    EXPECT_THAT(cached, ::testing::Each(round == 0 ? 0 : 48));
  }
  for (const int adapter : {-2, 2}) {
    Request request = greedy(60, 3, 20, std::make_shared<Recorder>());
    request.adapter = adapter;
    const absl::Status status = harness.loop->check(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("adapter"));
  }
}

// Requests of several adapters in one batch, on a device with two steps in flight.
TEST(Adapters, RunInOneBatch) {
  Harness harness(2);
  harness.model.adapters = 3;
  std::vector<std::shared_ptr<Recorder>> sinks;
  for (int i = 0; i < 12; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    Request request = greedy(40, 3, 25, sinks.back());
    request.adapter = i % 4 - 1;
    harness.add(std::move(request));
  }
  harness.run();
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(sinks[i]->tokens(), FakeModel::answer(prompt(40, 3), 25, kVocab, -1, i % 4 - 1));
  }
}

}  // namespace
}  // namespace polymath::engine
