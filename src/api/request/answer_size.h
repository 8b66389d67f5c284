#pragma once

// Bounds an answer's size before any of it is computed. Log-probabilities and copies of the prompt make answers of
// gigabytes out of requests of kilobytes.
//
//   AnswerBytes bytes{.of_prompt_token = logprob_bytes(20), .prompt_copies = 64, .prompt_field = "prompt_logprobs"};
//   RETURN_IF_ERROR(bound_answer(bytes, rules, limits, plan));    // behind add_prompt
//
// The sums are estimates for tokens of usual length. Plain output text is not counted: it costs a forward pass a token.

#include <cstdint>
#include <string_view>

#include "api/generation.h"
#include "api/limits.h"
#include "api/prompt.h"
#include "base/status.h"

namespace polymath::api {

struct AnswerBytes {
  int64_t of_prompt_token = 0;    // in each copy of its prompt
  int64_t prompt_copies = 0;      // of each prompt
  int64_t of_output_token = 0;    // of each choice; 0 in a stream, which keeps none
  std::string_view prompt_field;  // what asks for each part, for the error
  std::string_view output_field;
};

inline constexpr int64_t kTokenBytes = 8;          // a token's text, or its id
inline constexpr int64_t kOffsetsBytes = 16;       // a token's begin and end
inline constexpr int64_t kMaskBytes = 2;           // a 0 or a 1
inline constexpr int64_t kLogprobEntryBytes = 96;  // a token with its log-probability

// Of a token with the n best others beside it; n < 0: none.
inline int64_t logprob_bytes(int n) { return n < 0 ? 0 : kLogprobEntryBytes * (1 + int64_t{n}); }

// kInvalidArgument beyond limits.answer_bytes_max, with the sum. Where the request has no max_tokens, the plan's are
// lowered instead, as far as that helps.
absl::Status bound_answer(const AnswerBytes& bytes, const PromptRules& rules, const ApiLimits& limits,
                          GenerationPlan& plan);

}  // namespace polymath::api
