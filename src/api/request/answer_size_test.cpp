#include "api/request/answer_size.h"

#include <gtest/gtest.h>

#include "api/status.h"

namespace polymath::api {
namespace {

GenerationPlan plan_of(int n_prompts, int prompt_len, int n, int max_tokens) {
  GenerationPlan plan;
  plan.prompts.assign(static_cast<size_t>(n_prompts), std::vector<int32_t>(static_cast<size_t>(prompt_len), 1));
  plan.max_tokens.assign(static_cast<size_t>(n_prompts), max_tokens);
  plan.n = n;
  return plan;
}

TEST(AnswerSize, TheSumIsBounded) {
  constexpr int64_t kMany = int64_t{1} << 40;
  const struct {
    AnswerBytes bytes;
    GenerationPlan plan;
    bool fits;
    const char* field;
  } rows[] = {
      {{}, plan_of(1024, 100000, 1, 100000), true, ""},
      {{100, 64, 0, "prompt_logprobs", "logprobs"}, plan_of(1, 156, 64, 1), true, ""},
      {{100, 64, 0, "prompt_logprobs", "logprobs"}, plan_of(1, 157, 64, 1), false, "prompt_logprobs"},
      {{100, 1, 0, "prompt_logprobs", "logprobs"}, plan_of(1, 10000, 64, 1), true, ""},
      {{0, 0, 100, "prompt_logprobs", "logprobs"}, plan_of(2, 1, 5, 1000), true, ""},
      {{0, 0, 100, "prompt_logprobs", "logprobs"}, plan_of(2, 1, 5, 1001), false, "logprobs"},
      {{50, 1, 100, "prompt_logprobs", "logprobs"}, plan_of(1, 9000, 1, 6000), false, "logprobs"},
      {{kMany, 1024, kMany, "prompt_logprobs", "logprobs"},
       plan_of(1, 1 << 20, 1024, 1 << 20),
       false,
       "prompt_logprobs"},
  };
  ApiLimits limits;
  limits.answer_bytes_max = 1000000;
  for (const auto& row : rows) {
    GenerationPlan plan = row.plan;
    const std::vector<int> before = plan.max_tokens;
    const absl::Status status = bound_answer(row.bytes, {.max_tokens = 1}, limits, plan);
    EXPECT_EQ(status.ok(), row.fits) << status;
    EXPECT_EQ(field_of(status), row.field);
    EXPECT_EQ(plan.max_tokens, before);
  }
}

TEST(AnswerSize, TheSentenceHasTheSum) {
  GenerationPlan plan = plan_of(1, 1998, 64, 1);
  const AnswerBytes bytes{logprob_bytes(20), 64, 0, "prompt_logprobs", "logprobs"};
  EXPECT_EQ(
      bound_answer(bytes, {.max_tokens = 1}, {}, plan).message(),
      "prompt_logprobs: the answer could take 246 MiB, and may take 64: 127872 prompt tokens, their copies counted "
      "in, at 2016 bytes, and 64 output tokens of all choices at 0 bytes. Lower prompt_logprobs, n or the prompt's "
      "length");
}

TEST(AnswerSize, WithoutMaxTokensTheyAreLowered) {
  ApiLimits limits;
  limits.answer_bytes_max = 1000000;
  GenerationPlan plan = plan_of(2, 1000, 5, 100000);
  plan.max_tokens[1] = 7;
  ASSERT_TRUE(bound_answer({100, 1, 100, "", "logprobs"}, {}, limits, plan).ok());
  EXPECT_EQ(plan.max_tokens, (std::vector<int>{800, 7}));
  plan = plan_of(2, 1000, 5, 100000);
  plan.sampling.min_tokens = 801;
  EXPECT_FALSE(bound_answer({100, 1, 100, "", "logprobs"}, {}, limits, plan).ok());
  plan = plan_of(1, 10000, 1, 100000);
  EXPECT_FALSE(bound_answer({100, 1, 100, "prompt_logprobs", ""}, {}, limits, plan).ok());
}

}  // namespace
}  // namespace polymath::api
