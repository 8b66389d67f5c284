#include "api/request/answer_size.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/status.h"

namespace polymath::api {
namespace {

constexpr double kMib = 1 << 20;

struct Sums {
  double prompt_tokens = 0, output_tokens = 0;  // of the copies, and of all choices
  double prompt_bytes = 0, output_bytes = 0;
};

// In floating point: they may exceed 64 bits.
Sums sums_of(const AnswerBytes& bytes, const GenerationPlan& plan) {
  Sums sums;
  for (const auto& prompt : plan.prompts) sums.prompt_tokens += static_cast<double>(prompt.size());
  sums.prompt_tokens *= static_cast<double>(bytes.prompt_copies);
  for (const int max_tokens : plan.max_tokens) sums.output_tokens += static_cast<double>(max_tokens) * plan.n;
  sums.prompt_bytes = sums.prompt_tokens * static_cast<double>(bytes.of_prompt_token);
  sums.output_bytes = sums.output_tokens * static_cast<double>(bytes.of_output_token);
  return sums;
}

absl::Status too_large(const AnswerBytes& bytes, const Sums& sums, double max) {
  const bool prompt_is_larger = sums.prompt_bytes >= sums.output_bytes;
  const std::string_view field = prompt_is_larger ? bytes.prompt_field : bytes.output_field;
  return invalid(field, absl::StrFormat(
                            "the answer could take %.0f MiB, and may take %.0f: %.0f prompt tokens, their copies "
                            "counted in, at %d bytes, and %.0f output tokens of all choices at %d bytes. Lower %s, n%s",
                            (sums.prompt_bytes + sums.output_bytes) / kMib, max / kMib, sums.prompt_tokens,
                            bytes.of_prompt_token, sums.output_tokens, bytes.of_output_token, std::string(field),
                            prompt_is_larger ? " or the prompt's length" : " or max_tokens"));
}

// Output tokens of each choice that fit beside the prompt's part; may be 0 or less.
double output_tokens_max(const AnswerBytes& bytes, const Sums& sums, double max, const GenerationPlan& plan) {
  const double n_choices = static_cast<double>(plan.prompts.size()) * plan.n;
  return (max - sums.prompt_bytes) / (n_choices * static_cast<double>(bytes.of_output_token));
}

}  // namespace

absl::Status bound_answer(const AnswerBytes& bytes, const PromptRules& rules, const ApiLimits& limits,
                          GenerationPlan& plan) {
  const auto max = static_cast<double>(limits.answer_bytes_max);
  const Sums sums = sums_of(bytes, plan);
  if (sums.prompt_bytes + sums.output_bytes <= max) return absl::OkStatus();
  if (rules.max_tokens.has_value() || bytes.of_output_token == 0) return too_large(bytes, sums, max);
  const double fitting = output_tokens_max(bytes, sums, max, plan);
  if (fitting < std::max(1, plan.sampling.min_tokens)) return too_large(bytes, sums, max);
  for (int& max_tokens : plan.max_tokens) max_tokens = std::min(max_tokens, static_cast<int>(fitting));
  return absl::OkStatus();
}

}  // namespace polymath::api
