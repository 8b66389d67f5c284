#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <numeric>
#include <thread>

#include "engine/fake_model_test.h"
#include "engine/sinks_test.h"

namespace polymath::engine {
namespace {

using ::testing::HasSubstr;

constexpr int kVocab = 97;

// The parameter: steps in flight at most.
class EngineAtDepth : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Steps, EngineAtDepth, ::testing::Values(1, 2));

struct Harness {
  explicit Harness(EngineOptions o = {}, bool start = true)
      : options(fill(o)),
        model(kVocab, options.block_size, {options.n_blocks}, options.sequences_max, EngineAtDepth::GetParam()) {
    engine = std::make_unique<Engine>(model, options, registry);
    if (start) engine->start();
  }
  static EngineOptions fill(EngineOptions o) {
    o.model_name = "fake";
    if (o.n_blocks == 0) o.n_blocks = 256;
    if (o.model_len_max == 0) o.model_len_max = 1500;
    return o;
  }
  const EngineOptions options;
  FakeModel model;
  base::MetricsRegistry registry;
  std::unique_ptr<Engine> engine;
};

std::vector<int32_t> prompt(int n, int first) {
  std::vector<int32_t> out(n);
  for (int i = 0; i < n; ++i) out[i] = (first + i * (first + 1)) % kVocab;
  return out;
}

struct Asked {
  Request request;
  std::shared_ptr<Recorder> sink = std::make_shared<Recorder>();
};

Asked ask(std::vector<int32_t> tokens, int max_tokens) {
  Asked a;
  a.request.prompt = std::move(tokens);
  a.request.sampling.temperature = 0;
  a.request.sampling.max_tokens = max_tokens;
  a.request.sink = a.sink;
  return a;
}

TEST_P(EngineAtDepth, AnswersAsTheModelSays) {
  Harness harness;
  Asked a = ask(prompt(20, 3), 12);
  ASSERT_TRUE(harness.engine->submit(a.request).ok());
  const Finish finish = a.sink->wait();
  EXPECT_EQ(a.sink->tokens(), FakeModel::answer(a.request.prompt, 12, kVocab));
  EXPECT_EQ(finish.reason, FinishReason::kLength);
  EXPECT_EQ(finish.prompt_tokens, 20);
  EXPECT_EQ(finish.output_tokens, 12);
  EXPECT_FALSE(finish.stop_id.has_value());
}

TEST_P(EngineAtDepth, StopsWhereItShould) {
  const auto tokens = prompt(20, 3);
  const auto answer = FakeModel::answer(tokens, 30, kVocab);
  const int32_t stop = answer[5];
  const int first = static_cast<int>(std::find(answer.begin(), answer.end(), stop) - answer.begin());
  struct Case {
    const char* what;
    std::function<void(SamplingParams&)> set;
    int length;  // -1: not looked at
    FinishReason reason;
  };
  const Case cases[] = {
      {"a stop id", [&](auto& p) { p.stop_ids = {stop}; }, first + 1, FinishReason::kStop},
      {"an eos id", [&](auto& p) { p.eos_ids = {stop}; }, first + 1, FinishReason::kStop},
      {"an ignored eos id", [&](auto& p) { p.eos_ids = {stop}, p.ignore_eos = true; }, 30, FinishReason::kLength},
      {"max_tokens", [&](auto& p) { p.max_tokens = 1; }, 1, FinishReason::kLength},
  };
  Harness harness;
  for (const Case& c : cases) {
    Asked a = ask(tokens, 30);
    c.set(a.request.sampling);
    ASSERT_TRUE(harness.engine->submit(a.request).ok());
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, c.reason) << c.what;
    EXPECT_EQ(finish.output_tokens, c.length) << c.what;
    EXPECT_EQ(finish.stop_id.has_value(), c.reason == FinishReason::kStop) << c.what;
    EXPECT_EQ(a.sink->tokens(), std::vector<int32_t>(answer.begin(), answer.begin() + c.length)) << c.what;
  }
}

TEST_P(EngineAtDepth, MinTokensHoldsTheStopOff) {
  Harness harness;
  Asked a = ask(prompt(20, 3), 30);
  a.request.sampling.stop_ids = {FakeModel::answer(a.request.prompt, 1, kVocab)[0]};
  a.request.sampling.min_tokens = 6;
  ASSERT_TRUE(harness.engine->submit(a.request).ok());
  EXPECT_GE(a.sink->wait().output_tokens, 6);
}

TEST_P(EngineAtDepth, TheModelsLengthEndsAnAnswer) {
  Harness harness({.model_len_max = 40});
  Asked a = ask(prompt(30, 3), 500);
  ASSERT_TRUE(harness.engine->submit(a.request).ok());
  EXPECT_EQ(a.sink->wait().output_tokens, 10);
}

TEST_P(EngineAtDepth, RefusesWithASentence) {
  struct Case {
    const char* sentence;
    std::function<void(Request&)> set;
  };
  const Case cases[] = {
      {"prompt is empty", [](auto& r) { r.prompt.clear(); }},
      {"1500 tokens at most", [](auto& r) { r.prompt.assign(1500, 1); }},
      {"token 97", [](auto& r) { r.prompt[1] = kVocab; }},
      {"token -1", [](auto& r) { r.prompt[1] = -1; }},
      {"top_p", [](auto& r) { r.sampling.top_p = 7; }},
      {"KV blocks", [](auto& r) { r.sampling.max_tokens = 1000; }},
  };
  Harness harness({.n_blocks = 20});
  for (const Case& c : cases) {
    Asked a = ask(prompt(20, 3), 5);
    c.set(a.request);
    const auto id = harness.engine->submit(a.request);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(id.status().message()), HasSubstr(c.sentence));
  }
}

TEST_P(EngineAtDepth, ManyThreadsGetTheAnswersTheyWouldGetAlone) {
  Harness harness({.n_blocks = 32, .model_len_max = 200, .sequences_max = 16});  // too few blocks for all
  harness.model.step_us = 50;                                                    // so that they meet
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 12; ++i) {
        Asked a = ask(prompt(10 + (t * 7 + i * 13) % 90, t % 3), 70);
        ASSERT_TRUE(harness.engine->submit(a.request).ok());
        wrong += a.sink->wait().reason != FinishReason::kLength;
        wrong += a.sink->tokens() != FakeModel::answer(a.request.prompt, 70, kVocab);
        wrong += a.sink->wrong_order();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  harness.engine->drain(10);  // the last answer ends within a step, the figures are those of whole steps
  const EngineStats stats = harness.engine->stats();
  EXPECT_EQ(stats.generated_tokens, 8u * 12 * 70);
  EXPECT_GT(stats.prompt_tokens_cached, 0u);
  EXPECT_GT(stats.preemptions, 0u);
}

TEST_P(EngineAtDepth, SamplesDoNotDependOnCompanyNorOnPreemption) {
  std::vector<std::vector<int32_t>> answers[2];
  for (const bool tight : {false, true}) {
    Harness harness({.n_blocks = tight ? 14 : 400,
                     .model_len_max = 200,
                     .step_tokens_max = tight ? 30 : 2048,
                     .prefix_caching = tight});
    std::vector<Asked> all;
    for (int i = 0; i < 10; ++i) {
      Asked a = ask(prompt(20 + i * 3, 5), 60);
      a.request.sampling.temperature = 2;
      a.request.sampling.top_p = 0.95f;
      a.request.sampling.seed = i;
      a.request.sampling.frequency_penalty = 0.1f;
      a.request.sampling.prompt_logprobs = i % 4 == 0 ? 1 : -1;
      ASSERT_TRUE(harness.engine->submit(a.request).ok());
      all.push_back(std::move(a));
    }
    for (auto& a : all) {
      a.sink->wait();
      EXPECT_FALSE(a.sink->wrong_order());
      answers[tight].push_back(a.sink->tokens());
    }
    EXPECT_EQ(harness.engine->stats().preemptions > 0, tight);
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_P(EngineAtDepth, EightPromptsAtOnceShareTheirPrefix) {
  Harness harness({}, false);
  std::vector<Asked> all;
  for (int i = 0; i < 8; ++i) {
    auto tokens = prompt(1024, 5);
    for (int at = 900; at < 1024; ++at) tokens[at] = (at * 7 + i) % kVocab;
    all.push_back(ask(tokens, 4));
    ASSERT_TRUE(harness.engine->submit(all.back().request).ok());
  }
  harness.engine->start();
  int cached = 0;
  for (auto& a : all) {
    cached += a.sink->wait().cached_tokens;
    EXPECT_EQ(a.sink->tokens(), FakeModel::answer(a.request.prompt, 4, kVocab));
  }
  harness.engine->drain(10);
  EXPECT_LE(harness.engine->stats().prompt_tokens_computed, 2000u);
  EXPECT_EQ(cached, 7 * 896);
}

TEST_P(EngineAtDepth, SaltsDoNotMeet) {
  Harness harness;
  for (const char* salt : {"a", "b"}) {
    Asked a = ask(prompt(100, 5), 2);
    a.request.cache_salt = salt;
    ASSERT_TRUE(harness.engine->submit(a.request).ok());
    EXPECT_EQ(a.sink->wait().cached_tokens, 0);
  }
}

TEST_P(EngineAtDepth, TellsLogprobs) {
  Harness harness;
  Asked a = ask(prompt(300, 5), 3);
  a.request.sampling.logprobs = 2;
  a.request.sampling.prompt_logprobs = 4;
  ASSERT_TRUE(harness.engine->submit(a.request).ok());
  a.sink->wait();
  EXPECT_FALSE(a.sink->wrong_order());
  const auto got = a.sink->prompt();
  ASSERT_EQ(got.size(), 299u);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].id, a.request.prompt[i + 1]);
  EXPECT_EQ(a.sink->n_top(), 3u * 2);
  for (const auto& sampled : a.sink->sampled()) EXPECT_EQ(sampled.rank, 1);
}

TEST_P(EngineAtDepth, ARepetitionEndsTheOutputFromMinTokensOn) {
  for (const int min_tokens : {0, 9}) {
    Harness harness;
    Asked a = ask(prompt(20, 5), 300);
    a.request.sampling.allowed_ids = {7};
    a.request.sampling.repetition = {.pattern_min = 2, .pattern_max = 3, .n_repeats = 3};
    a.request.sampling.min_tokens = min_tokens;
    ASSERT_TRUE(harness.engine->submit(a.request).ok());
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, FinishReason::kRepetition);
    EXPECT_EQ(finish.output_tokens, std::max(6, min_tokens));
    EXPECT_GT(finish.times.first_token, finish.times.arrived);
    EXPECT_GE(finish.times.last_token, finish.times.first_token);
  }
}

TEST_P(EngineAtDepth, CancelEndsWhatRunsAndWhatWaits) {
  Harness harness({.sequences_max = 1});
  harness.model.step_us = 500;
  Asked running = ask(prompt(5, 1), 1400), waiting = ask(prompt(5, 2), 1400), stopped = ask(prompt(5, 3), 1400);
  const auto first = harness.engine->submit(running.request), second = harness.engine->submit(waiting.request);
  const auto third = harness.engine->submit(stopped.request);
  running.sink->wait_tokens(3);
  harness.engine->cancel(*second);
  EXPECT_EQ(waiting.sink->wait().reason, FinishReason::kCancelled);
  EXPECT_FALSE(running.sink->finished());
  harness.engine->cancel(*first);
  EXPECT_EQ(running.sink->wait().reason, FinishReason::kCancelled);
  stopped.sink->wait_tokens(2);
  harness.engine->cancel(*third, true);
  EXPECT_EQ(stopped.sink->wait().reason, FinishReason::kStop);
  harness.engine->cancel(*third);
  harness.engine->cancel(123456);
}

// The value of a metric with the label of Harness's model.
std::string metric(const Harness& harness, const std::string& name) {
  const std::string text = harness.registry.render(), line = name + "{model_name=\"fake\"} ";
  const size_t at = text.find(line);
  return at == std::string::npos ? "none" : text.substr(at + line.size(), text.find('\n', at) - at - line.size());
}

TEST_P(EngineAtDepth, CountsWhatItTakesAndLooksForLostBlocksAtRest) {
  Harness harness;
  for (int i = 0; i < 3; ++i) {
    Asked a = ask(prompt(5, i), 3);
    ASSERT_TRUE(harness.engine->submit(a.request).ok());
    a.sink->wait();
  }
  EXPECT_EQ(metric(harness, "polymath:admitted_requests_total"), "3");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (metric(harness, "polymath:idle_checks_total") == "0" && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_NE(metric(harness, "polymath:idle_checks_total"), "0");
}

TEST_P(EngineAtDepth, AFullQueueSaysSo) {
  Harness harness({.sequences_max = 1, .waiting_max = 2}, false);
  std::vector<Asked> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(ask(prompt(5, i), 3));
    ASSERT_TRUE(harness.engine->submit(all.back().request).ok());
  }
  EXPECT_EQ(harness.engine->stats().waiting, 3);
  EXPECT_EQ(harness.engine->submit(ask(prompt(5, 9), 3).request).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(harness.engine->reserve().status().code(), absl::StatusCode::kResourceExhausted);
  harness.engine->start();
  for (auto& a : all) a.sink->wait();
  harness.engine->drain(10);
}

TEST_P(EngineAtDepth, AReservedPlaceWaits) {
  Harness harness({.sequences_max = 1, .waiting_max = 1}, false);
  auto first = harness.engine->reserve(), second = harness.engine->reserve();
  ASSERT_TRUE(first.ok() && second.ok());
  Asked asked = ask(prompt(5, 1), 3);
  EXPECT_EQ(harness.engine->submit(asked.request).status().code(), absl::StatusCode::kResourceExhausted);
  second->reset();
  EXPECT_TRUE(harness.engine->reserve().ok()) << "a dropped place is free";
  std::vector<Request> requests = {asked.request};
  EXPECT_TRUE(harness.engine->submit(std::move(requests), first->get()).ok());
  EXPECT_TRUE(harness.engine->reserve().ok()) << "the submitted one counts once";
  harness.engine->start();
  asked.sink->wait();
  harness.engine->drain(10);
}

TEST_P(EngineAtDepth, SeveralAreSubmittedTogetherOrNotAtAll) {
  Harness harness({.sequences_max = 2, .waiting_max = 2});
  const auto submit = [&](int n) {
    std::vector<Asked> all;
    std::vector<Request> requests;
    for (int i = 0; i < n; ++i) {
      all.push_back(ask(prompt(5, i), 3));
      requests.push_back(all.back().request);
    }
    const absl::Status status = harness.engine->submit(std::move(requests)).status();
    for (auto& a : all) {
      if (status.ok()) a.sink->wait();
    }
    return status;
  };
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(submit(4).ok());
  EXPECT_EQ(submit(5).code(), absl::StatusCode::kInvalidArgument) << "never fits";
  harness.engine->drain(10);
}

TEST_P(EngineAtDepth, TheQueueIsBoundedInTokens) {
  Harness harness({.sequences_max = 1, .waiting_max = 100, .waiting_tokens_max = 20}, false);
  std::vector<Asked> all;
  const auto submit = [&](int n_prompt) {
    all.push_back(ask(prompt(n_prompt, static_cast<int>(all.size())), 3));
    return harness.engine->submit(all.back().request).status();
  };
  EXPECT_TRUE(submit(1).ok()) << "it will run";
  EXPECT_TRUE(submit(49).ok()) << "nothing waits";
  const absl::Status full = submit(1);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("50 prompt tokens are waiting (--max-num-queued-tokens)"));
  all.pop_back();
  harness.engine->start();
  for (auto& a : all) a.sink->wait();
  harness.engine->drain(10);
}

// One runs, one of its group waits, one waits alone: a drain cancels the last alone.
TEST_P(EngineAtDepth, ADrainEndsWhatHasNotBegun) {
  Harness harness({.sequences_max = 1});
  harness.model.step_us = 500;
  Asked running = ask(prompt(5, 1), 60), kin = ask(prompt(5, 2), 3), waiting = ask(prompt(5, 3), 3);
  running.request.group = kin.request.group = 7;
  for (const Asked* a : {&running, &kin, &waiting}) ASSERT_TRUE(harness.engine->submit(a->request).ok());
  running.sink->wait_tokens(2);
  harness.engine->drain(10);
  EXPECT_EQ(waiting.sink->wait().reason, FinishReason::kCancelled);
  EXPECT_EQ(waiting.sink->wait().output_tokens, 0);
  EXPECT_EQ(running.sink->wait().reason, FinishReason::kLength);
  EXPECT_EQ(kin.sink->wait().reason, FinishReason::kLength);
}

TEST_P(EngineAtDepth, AFailedModelEndsEverythingAndIsSaid) {
  Harness harness({}, false);
  harness.model.fail_at = 3;
  std::vector<Asked> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(ask(prompt(5, i), 30));
    ASSERT_TRUE(harness.engine->submit(all.back().request).ok());
  }
  EXPECT_TRUE(harness.engine->healthy());
  harness.engine->start();
  for (auto& a : all) {
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, FinishReason::kError);
    EXPECT_THAT(finish.error, HasSubstr("the device is gone"));
  }
  EXPECT_FALSE(harness.engine->healthy());
  EXPECT_EQ(harness.engine->submit(ask(prompt(5, 1), 3).request).status().code(), absl::StatusCode::kUnavailable);
  harness.engine->drain(10);
}

TEST_P(EngineAtDepth, LogitsThatAreNoNumbersEndTheRequestAlone) {
  Harness harness;
  harness.model.not_a_number = true;
  for (const int prompt_logprobs : {-1, 0}) {
    Asked a = ask(prompt(5, 1), 3);
    a.request.sampling.prompt_logprobs = prompt_logprobs;
    ASSERT_TRUE(harness.engine->submit(a.request).ok());
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, FinishReason::kError);
    EXPECT_THAT(finish.error, HasSubstr("NaN"));
  }
  EXPECT_TRUE(harness.engine->healthy());
}

TEST_P(EngineAtDepth, DrainWaitsAndThenCancels) {
  Harness harness;
  harness.model.step_us = 1000;
  Asked brief = ask(prompt(5, 1), 5), endless = ask(prompt(5, 2), 1400);
  ASSERT_TRUE(harness.engine->submit(brief.request).ok());
  ASSERT_TRUE(harness.engine->submit(endless.request).ok());
  endless.sink->wait_tokens(1);  // both have begun
  harness.engine->drain(0.2);
  EXPECT_EQ(brief.sink->wait().reason, FinishReason::kLength);
  EXPECT_EQ(endless.sink->wait().reason, FinishReason::kCancelled);
  EXPECT_EQ(harness.engine->submit(ask(prompt(5, 1), 3).request).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(EngineAtDepth, ItsEndIsTheEndOfEveryRequest) {
  for (const bool start : {true, false}) {
    Harness harness({}, start);
    harness.model.step_us = 1000;
    Asked a = ask(prompt(5, 2), 1400);
    ASSERT_TRUE(harness.engine->submit(a.request).ok());
    if (start) a.sink->wait_tokens(1);
    harness.engine.reset();
    EXPECT_TRUE(a.sink->finished());
    EXPECT_EQ(a.sink->wait().reason, FinishReason::kCancelled);
  }
}

TEST_P(EngineAtDepth, SleepsWhenNothingIsToDo) {
  Harness harness;
  Asked a = ask(prompt(5, 2), 5);
  ASSERT_TRUE(harness.engine->submit(a.request).ok());
  a.sink->wait();
  const auto cpu_seconds = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  };
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  EXPECT_LT(cpu_seconds() - before, 0.04);
}

TEST_P(EngineAtDepth, CountsUnderTheNamesThatDashboardsKnow) {
  Harness harness({}, false);
  harness.engine.reset();
  harness.model.pairs = {0, 0};
  Engine engine(harness.model, Harness::fill({.model_len_max = 300, .metrics = {.expert_series = true}}),
                harness.registry);
  harness.model.pairs = {30, 10};
  engine.start();
  Asked a = ask(prompt(40, 2), 5);
  ASSERT_TRUE(engine.submit(a.request).ok());
  a.sink->wait();
  engine.drain(5);
  const std::string text = harness.registry.render();
  const std::string labels = R"({engine="0",model_name="fake")";
  for (const std::string& line :
       {"vllm:num_requests_running" + labels + "} 0", "vllm:kv_cache_usage_perc" + labels + "} 0",
        "vllm:gpu_cache_usage_perc" + labels + "} 0", "vllm:prompt_tokens_total" + labels + "} 40",
        "vllm:generation_tokens_total" + labels + "} 5", "vllm:prefix_cache_queries_total" + labels + "} 40",
        "vllm:request_success_total" + labels + R"(,finished_reason="length"} 1)",
        "vllm:time_to_first_token_seconds_count" + labels + "} 1",
        "vllm:inter_token_latency_seconds_count" + labels + "} 4",
        "vllm:e2e_request_latency_seconds_bucket" + labels + R"(,le="7680"} 1)",
        "vllm:iteration_tokens_total_bucket" + labels + R"(,le="64"} 5)",
        "vllm:request_prompt_tokens_bucket" + labels + R"(,le="500"} 1)",
        "vllm:request_params_max_tokens_sum" + labels + "} 5", std::string("vllm:cache_config_info"),
        "polymath:expert_tokens_total" + labels + R"(,layer="3",expert="0"} 30)",
        "polymath:expert_imbalance" + labels + R"(,layer="3"} 1.5)",
        "polymath:expert_entropy" + labels + R"(,layer="3"} 0.81127)",
        "polymath:experts_used" + labels + R"(,layer="3"} 1)"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  const auto tokens = engine.expert_tokens();
  ASSERT_EQ(tokens.size(), 1u);
  EXPECT_EQ(tokens[0].layer, 3);
  EXPECT_EQ(tokens[0].tokens, (std::vector<int64_t>{30, 10}));
}

TEST_P(EngineAtDepth, ExpertsHaveNoSeriesUnlessAskedFor) {
  Harness harness;
  EXPECT_THAT(harness.registry.render(), Not(HasSubstr("polymath:expert_tokens_total")));
}

}  // namespace
}  // namespace polymath::engine
