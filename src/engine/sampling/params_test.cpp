#include "engine/sampling/params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace polymath::engine {
namespace {

constexpr int kVocab = 100;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Case {
  const char* field;  // null: accepted
  std::function<void(SamplingParams&)> set;
};

void expect_named(const Case& c) {
  SamplingParams params;
  c.set(params);
  const absl::Status status = check_sampling(params, kVocab);
  if (c.field == nullptr) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::StartsWith(c.field));
}

TEST(CheckSampling, NamesTheFieldThatIsOutOfRange) {
  const Case cases[] = {
      {nullptr, [](auto&) {}},
      {nullptr, [](auto& p) { p.temperature = 0; }},
      {"temperature", [](auto& p) { p.temperature = -0.1f; }},
      {"temperature", [](auto& p) { p.temperature = kNan; }},
      {"temperature", [](auto& p) { p.temperature = kInf; }},
      {nullptr, [](auto& p) { p.top_k = -1; }},
      {"top_k", [](auto& p) { p.top_k = -2; }},
      {nullptr, [](auto& p) { p.top_p = 1e-6f; }},
      {"top_p", [](auto& p) { p.top_p = 0; }},
      {"top_p", [](auto& p) { p.top_p = 1.01f; }},
      {"top_p", [](auto& p) { p.top_p = kNan; }},
      {"min_p", [](auto& p) { p.min_p = -0.5f; }},
      {"min_p", [](auto& p) { p.min_p = kNan; }},
      {"typical_p", [](auto& p) { p.typical_p = 0; }},
      {"typical_p", [](auto& p) { p.typical_p = 1.5f; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = 2.5f; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = -2.5f; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = kNan; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = kInf; }},
      {"max_tokens", [](auto& p) { p.max_tokens = 0; }},
      {"min_tokens", [](auto& p) { p.min_tokens = -1; }},
      {"min_tokens", [](auto& p) { p.min_tokens = 17; }},
      {nullptr, [](auto& p) { p.logprobs = kVocab; }},
      {"logprobs", [](auto& p) { p.logprobs = kVocab + 1; }},
      {"logprobs", [](auto& p) { p.logprobs = -2; }},
      {"prompt_logprobs", [](auto& p) { p.prompt_logprobs = kVocab + 1; }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{kVocab, 1.f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{-1, 1.f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, 101.f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, kNan}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias.assign(kLogitBiasMax + 1, {1, 1.f});
       }},
      {"allowed_token_ids",
       [](auto& p) {
         p.allowed_ids = {0, kVocab};
       }},
      {"stop_token_ids", [](auto& p) { p.stop_ids = {-5}; }},
      {"stop_token_ids", [](auto& p) { p.stop_ids.assign(kStopIdsMax + 1, 1); }},
      {"eos_token_id", [](auto& p) { p.eos_ids = {kVocab}; }},
  };
  for (const Case& c : cases) expect_named(c);
}

TEST(CheckSampling, NamesTheListThatIsOutOfRange) {
  const Case cases[] = {
      {"logprob_token_ids", [](auto& p) { p.logprob_ids = {kVocab}; }},
      {"logprob_token_ids", [](auto& p) { p.logprob_ids.assign(kLogprobIdsMax + 1, 1); }},
      {"bad_words", [](auto& p) { p.bad_ids = {{}}; }},
      {"bad_words",
       [](auto& p) {
         p.bad_ids = {{1, kVocab}};
       }},
      {"bad_words", [](auto& p) { p.bad_ids.assign(kBadIdsMax + 1, {1}); }},
      {nullptr,
       [](auto& p) {
         p.repetition = {1, kPatternMax, 2};
       }},
      {"repetition_detection.max_pattern_size",
       [](auto& p) {
         p.repetition = {1, kPatternMax + 1, 2};
       }},
      {"repetition_detection.max_pattern_size",
       [](auto& p) {
         p.repetition = {1, -1, 2};
       }},
      {"repetition_detection.min_pattern_size",
       [](auto& p) {
         p.repetition = {3, 2, 2};
       }},
      {"repetition_detection.min_count",
       [](auto& p) {
         p.repetition = {1, 2, 1};
       }},
  };
  for (const Case& c : cases) expect_named(c);
}

}  // namespace
}  // namespace polymath::engine
