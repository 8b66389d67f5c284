#pragma once

// An EngineLoop over a fake model, without a thread; and requests that exercise every way to sample.

#include <gtest/gtest.h>

#include <functional>

#include "engine/engine_loop.h"
#include "engine/fake_model_test.h"
#include "engine/sinks_test.h"

namespace polymath::engine {

inline constexpr int kVocab = 97;
inline constexpr int kStepsMax = 20000;  // far more than any case needs

// A loop without its thread; checks the invariants after every step. `Shape`: a FakeModel's depth, or a pipeline's
// shape.
template <typename FakeModelOrPipeline, typename Shape>
struct HarnessOf {
  HarnessOf(Shape shape, EngineOptions o = {})
      : options(fill(o)),
        model(kVocab, options.block_size, {options.n_blocks, options.n_state_slots + options.n_state_snapshots},
              std::max(options.sequences_max, options.logit_rows_max), shape) {
    EXPECT_TRUE(check_options(options, model).ok());
    loop = std::make_unique<EngineLoop>(model, options, registry);
  }
  static EngineOptions fill(EngineOptions o) {
    o.model_name = "fake";
    if (o.n_blocks == 0) o.n_blocks = 256;
    if (o.model_len_max == 0) o.model_len_max = 400;
    return o;
  }

  RunningRequest& add(Request request) {
    EXPECT_TRUE(loop->check(request).ok());
    auto running = loop->make_request(std::move(request), ++n_requests);
    RunningRequest& out = *running;
    loop->admit(std::move(running));
    return out;
  }
  absl::Status step() {
    const absl::Status status = loop->step();
    loop->check_invariants();
    return status;
  }
  void run() {
    for (int i = 0; loop->busy(); ++i) {
      ASSERT_LT(i, kStepsMax);
      ASSERT_TRUE(step().ok());
    }
    EXPECT_EQ(model.n_in_flight(), 0);
    EXPECT_EQ(loop->stats().kv_usage, 0);
  }

  const EngineOptions options;
  FakeModelOrPipeline model;
  base::MetricsRegistry registry;
  std::unique_ptr<EngineLoop> loop;
  RequestId n_requests = 0;
};
using Harness = HarnessOf<FakeModel, int>;

inline std::vector<int32_t> prompt(int n, int first) {
  std::vector<int32_t> out(n);
  for (int i = 0; i < n; ++i) out[i] = (first + i * (first + 1)) % kVocab;
  return out;
}

inline Request greedy(int n_prompt, int first, int max_tokens, std::shared_ptr<TokenSink> sink) {
  Request request{.prompt = prompt(n_prompt, first), .sink = std::move(sink)};
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

// Allows only even ids.
class EvenIds : public TokenMask {
 public:
  void fill(std::span<uint64_t> allowed) override {
    for (uint64_t& word : allowed) word &= 0x5555555555555555;
  }
  void accept(int32_t) override {}
};

struct Kind {
  const char* name;
  bool on_device;
  std::function<void(Request&)> set;
};

inline const Kind kKinds[] = {
    {"greedy", true, [](Request& r) { r.sampling.temperature = 0; }},
    {"seeded", true, [](Request& r) { r.sampling.temperature = 3; }},
    {"top_p", true, [](Request& r) { r.sampling.temperature = 2, r.sampling.top_p = 0.9f; }},
    {"top_k", true, [](Request& r) { r.sampling.temperature = 4, r.sampling.top_k = 5; }},
    {"min_p", true, [](Request& r) { r.sampling.temperature = 4, r.sampling.min_p = 0.1f; }},
    {"prompt_logprobs", true, [](Request& r) { r.sampling.prompt_logprobs = 1; }},
    {"logprobs", false, [](Request& r) { r.sampling.logprobs = 2; }},
    {"penalty", false, [](Request& r) { r.sampling.temperature = 2, r.sampling.repetition_penalty = 1.2f; }},
    {"bias", false,
     [](Request& r) {
       r.sampling.temperature = 2, r.sampling.logit_bias = {{5, 4.f}}, r.sampling.bad_ids = {{7}, {5, 5}};
     }},
    {"allowed", false,
     [](Request& r) {
       r.sampling.allowed_ids = {1, 2, 3, 50}, r.sampling.logprobs = 0, r.sampling.logprob_ids = {4, 9};
     }},
    {"mask", false, [](Request& r) { r.mask = std::make_shared<EvenIds>(); }},
    {"min_tokens", false, [](Request& r) { r.sampling.min_tokens = 12; }},  // the device's from then on
};

}  // namespace polymath::engine
