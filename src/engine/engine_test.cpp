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

struct House {
  explicit House(EngineOptions o = {}, bool start = true)
      : options(fill(o)),
        model(kVocab, options.block_size, options.n_blocks, options.sequences_max, EngineAtDepth::GetParam()) {
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
  House house;
  Asked a = ask(prompt(20, 3), 12);
  ASSERT_TRUE(house.engine->submit(a.request).ok());
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
  House house;
  for (const Case& c : cases) {
    Asked a = ask(tokens, 30);
    c.set(a.request.sampling);
    ASSERT_TRUE(house.engine->submit(a.request).ok());
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, c.reason) << c.what;
    EXPECT_EQ(finish.output_tokens, c.length) << c.what;
    EXPECT_EQ(finish.stop_id.has_value(), c.reason == FinishReason::kStop) << c.what;
    EXPECT_EQ(a.sink->tokens(), std::vector<int32_t>(answer.begin(), answer.begin() + c.length)) << c.what;
  }
}

TEST_P(EngineAtDepth, MinTokensHoldsTheStopOff) {
  House house;
  Asked a = ask(prompt(20, 3), 30);
  a.request.sampling.stop_ids = {FakeModel::answer(a.request.prompt, 1, kVocab)[0]};
  a.request.sampling.min_tokens = 6;
  ASSERT_TRUE(house.engine->submit(a.request).ok());
  EXPECT_GE(a.sink->wait().output_tokens, 6);
}

TEST_P(EngineAtDepth, TheModelsLengthEndsAnAnswer) {
  House house({.model_len_max = 40});
  Asked a = ask(prompt(30, 3), 500);
  ASSERT_TRUE(house.engine->submit(a.request).ok());
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
  House house({.n_blocks = 20});
  for (const Case& c : cases) {
    Asked a = ask(prompt(20, 3), 5);
    c.set(a.request);
    const auto id = house.engine->submit(a.request);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(id.status().message()), HasSubstr(c.sentence));
  }
}

TEST_P(EngineAtDepth, ManyThreadsGetTheAnswersTheyWouldGetAlone) {
  House house({.n_blocks = 32, .model_len_max = 200, .sequences_max = 16});  // too few blocks for all
  house.model.step_us = 50;                                                  // so that they meet
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 12; ++i) {
        Asked a = ask(prompt(10 + (t * 7 + i * 13) % 90, t % 3), 70);
        ASSERT_TRUE(house.engine->submit(a.request).ok());
        wrong += a.sink->wait().reason != FinishReason::kLength;
        wrong += a.sink->tokens() != FakeModel::answer(a.request.prompt, 70, kVocab);
        wrong += a.sink->wrong_order();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  house.engine->drain(10);  // the last answer ends within a step, the figures are those of whole steps
  const EngineStats stats = house.engine->stats();
  EXPECT_EQ(stats.generated_tokens, 8u * 12 * 70);
  EXPECT_GT(stats.prompt_tokens_cached, 0u);
  EXPECT_GT(stats.preemptions, 0u);
}

TEST_P(EngineAtDepth, SamplesDoNotDependOnCompanyNorOnPreemption) {
  std::vector<std::vector<int32_t>> answers[2];
  for (const bool tight : {false, true}) {
    House house({.n_blocks = tight ? 14 : 400,
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
      ASSERT_TRUE(house.engine->submit(a.request).ok());
      all.push_back(std::move(a));
    }
    for (auto& a : all) {
      a.sink->wait();
      EXPECT_FALSE(a.sink->wrong_order());
      answers[tight].push_back(a.sink->tokens());
    }
    EXPECT_EQ(house.engine->stats().preemptions > 0, tight);
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_P(EngineAtDepth, EightPromptsAtOnceShareTheirPrefix) {
  House house({}, false);
  std::vector<Asked> all;
  for (int i = 0; i < 8; ++i) {
    auto tokens = prompt(1024, 5);
    for (int at = 900; at < 1024; ++at) tokens[at] = (at * 7 + i) % kVocab;
    all.push_back(ask(tokens, 4));
    ASSERT_TRUE(house.engine->submit(all.back().request).ok());
  }
  house.engine->start();
  int cached = 0;
  for (auto& a : all) {
    cached += a.sink->wait().cached_tokens;
    EXPECT_EQ(a.sink->tokens(), FakeModel::answer(a.request.prompt, 4, kVocab));
  }
  house.engine->drain(10);
  EXPECT_LE(house.engine->stats().prompt_tokens_computed, 2000u);
  EXPECT_EQ(cached, 7 * 896);
}

TEST_P(EngineAtDepth, SaltsDoNotMeet) {
  House house;
  for (const char* salt : {"a", "b"}) {
    Asked a = ask(prompt(100, 5), 2);
    a.request.cache_salt = salt;
    ASSERT_TRUE(house.engine->submit(a.request).ok());
    EXPECT_EQ(a.sink->wait().cached_tokens, 0);
  }
}

TEST_P(EngineAtDepth, TellsLogprobs) {
  House house;
  Asked a = ask(prompt(300, 5), 3);
  a.request.sampling.logprobs = 2;
  a.request.sampling.prompt_logprobs = 4;
  ASSERT_TRUE(house.engine->submit(a.request).ok());
  a.sink->wait();
  EXPECT_FALSE(a.sink->wrong_order());
  const auto told = a.sink->prompt();
  ASSERT_EQ(told.size(), 299u);
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i].id, a.request.prompt[i + 1]);
  EXPECT_EQ(a.sink->n_top(), 3u * 2);
  for (const auto& chosen : a.sink->chosen()) EXPECT_EQ(chosen.rank, 1);
}

TEST_P(EngineAtDepth, CancelEndsWhatRunsAndWhatWaits) {
  House house({.sequences_max = 1});
  house.model.step_us = 500;
  Asked running = ask(prompt(5, 1), 1400), waiting = ask(prompt(5, 2), 1400), stopped = ask(prompt(5, 3), 1400);
  const auto first = house.engine->submit(running.request), second = house.engine->submit(waiting.request);
  const auto third = house.engine->submit(stopped.request);
  running.sink->wait_tokens(3);
  house.engine->cancel(*second);
  EXPECT_EQ(waiting.sink->wait().reason, FinishReason::kCancelled);
  EXPECT_FALSE(running.sink->finished());
  house.engine->cancel(*first);
  EXPECT_EQ(running.sink->wait().reason, FinishReason::kCancelled);
  stopped.sink->wait_tokens(2);
  house.engine->cancel(*third, true);
  EXPECT_EQ(stopped.sink->wait().reason, FinishReason::kStop);
  house.engine->cancel(*third);
  house.engine->cancel(123456);
}

TEST_P(EngineAtDepth, AFullQueueSaysSo) {
  House house({.waiting_max = 3}, false);
  std::vector<Asked> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(ask(prompt(5, i), 3));
    ASSERT_TRUE(house.engine->submit(all.back().request).ok());
  }
  EXPECT_EQ(house.engine->stats().waiting, 3);
  EXPECT_EQ(house.engine->submit(ask(prompt(5, 9), 3).request).status().code(), absl::StatusCode::kResourceExhausted);
  house.engine->start();
  for (auto& a : all) a.sink->wait();
  house.engine->drain(10);
}

TEST_P(EngineAtDepth, AFailedModelEndsEverythingAndIsSaid) {
  House house({}, false);
  house.model.fail_at = 3;
  std::vector<Asked> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(ask(prompt(5, i), 30));
    ASSERT_TRUE(house.engine->submit(all.back().request).ok());
  }
  EXPECT_TRUE(house.engine->healthy());
  house.engine->start();
  for (auto& a : all) {
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, FinishReason::kError);
    EXPECT_THAT(finish.error, HasSubstr("the device is gone"));
  }
  EXPECT_FALSE(house.engine->healthy());
  EXPECT_EQ(house.engine->submit(ask(prompt(5, 1), 3).request).status().code(), absl::StatusCode::kUnavailable);
  house.engine->drain(10);
}

TEST_P(EngineAtDepth, LogitsThatAreNoNumbersEndTheRequestAlone) {
  House house;
  house.model.not_a_number = true;
  for (const int prompt_logprobs : {-1, 0}) {
    Asked a = ask(prompt(5, 1), 3);
    a.request.sampling.prompt_logprobs = prompt_logprobs;
    ASSERT_TRUE(house.engine->submit(a.request).ok());
    const Finish finish = a.sink->wait();
    EXPECT_EQ(finish.reason, FinishReason::kError);
    EXPECT_THAT(finish.error, HasSubstr("NaN"));
  }
  EXPECT_TRUE(house.engine->healthy());
}

TEST_P(EngineAtDepth, DrainWaitsAndThenCancels) {
  House house;
  house.model.step_us = 1000;
  Asked brief = ask(prompt(5, 1), 5), endless = ask(prompt(5, 2), 1400);
  ASSERT_TRUE(house.engine->submit(brief.request).ok());
  ASSERT_TRUE(house.engine->submit(endless.request).ok());
  house.engine->drain(0.2);
  EXPECT_EQ(brief.sink->wait().reason, FinishReason::kLength);
  EXPECT_EQ(endless.sink->wait().reason, FinishReason::kCancelled);
  EXPECT_EQ(house.engine->submit(ask(prompt(5, 1), 3).request).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(EngineAtDepth, ItsEndIsTheEndOfEveryRequest) {
  for (const bool start : {true, false}) {
    House house({}, start);
    house.model.step_us = 1000;
    Asked a = ask(prompt(5, 2), 1400);
    ASSERT_TRUE(house.engine->submit(a.request).ok());
    if (start) a.sink->wait_tokens(1);
    house.engine.reset();
    EXPECT_TRUE(a.sink->finished());
    EXPECT_EQ(a.sink->wait().reason, FinishReason::kCancelled);
  }
}

TEST_P(EngineAtDepth, SleepsWhenNothingIsToDo) {
  House house;
  Asked a = ask(prompt(5, 2), 5);
  ASSERT_TRUE(house.engine->submit(a.request).ok());
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
  House house({}, false);
  house.engine.reset();
  house.model.pairs = {0, 0};
  Engine engine(house.model, House::fill({.model_len_max = 300}), house.registry);
  house.model.pairs = {30, 10};
  engine.start();
  Asked a = ask(prompt(40, 2), 5);
  ASSERT_TRUE(engine.submit(a.request).ok());
  a.sink->wait();
  engine.drain(5);
  const std::string text = house.registry.render();
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
        "polymath:expert_imbalance" + labels + R"(,layer="3"} 1.5)"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace polymath::engine
