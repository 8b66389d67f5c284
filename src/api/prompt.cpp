#include "api/prompt.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {
namespace {

// How many of the prompt's ids are kept; 0: all.
size_t kept_ids(const PromptRules& rules, int room) {
  if (!rules.truncate.has_value()) return 0;
  return static_cast<size_t>(*rules.truncate > 0 ? *rules.truncate : std::max(1, room));
}

absl::Status too_long(const ServedModel& model, const PromptRules& rules, size_t prompt, int64_t output) {
  return invalid(output > 1 ? rules.max_tokens_field : rules.prompt_field,
                 absl::StrCat("this model's maximum context length is ", model.model_len_max,
                              " tokens, but the request needs ", static_cast<int64_t>(prompt) + output, ": ", prompt,
                              " for the prompt and ", output, " for the answer; shorten the prompt or ask for less"));
}

// Output tokens where the request has no max_tokens. REQUIRES: room >= 1.
int64_t default_max_tokens(const ServedModel& model, const PromptRules& rules, int64_t room) {
  int64_t max_tokens = room;
  if (rules.max_tokens_default > 0) max_tokens = std::min<int64_t>(max_tokens, rules.max_tokens_default);
  if (model.defaults.max_tokens.has_value()) max_tokens = std::min<int64_t>(max_tokens, *model.defaults.max_tokens);
  return max_tokens;
}

absl::StatusOr<std::vector<int32_t>> ids_of(const ServedModel& model, const PromptRules& rules, PromptInput prompt) {
  if (auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return std::move(*ids);
  const size_t ids_max = rules.truncate.has_value() ? 0 : static_cast<size_t>(model.model_len_max);
  return encode_prompt(model, std::get<std::string>(prompt), rules.add_special, ids_max, rules.prompt_field);
}

}  // namespace

absl::StatusOr<size_t> add_prompt(const ServedModel& model, const PromptRules& rules, PromptInput prompt,
                                  GenerationPlan& plan) {
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, ids_of(model, rules, std::move(prompt)));
  const int wanted = plan.drop_output ? 1 : rules.max_tokens.value_or(0);
  const size_t keep = kept_ids(rules, model.model_len_max - std::max(1, wanted));
  const size_t cut = keep > 0 && ids.size() > keep ? ids.size() - keep : 0;
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(cut));
  if (ids.empty()) return invalid(rules.prompt_field, "must hold at least one token");
  const auto room = static_cast<int64_t>(model.model_len_max) - static_cast<int64_t>(ids.size());
  if (room < std::max(1, wanted)) return too_long(model, rules, ids.size(), std::max(1, wanted));
  const int64_t max_tokens = wanted > 0 ? wanted : default_max_tokens(model, rules, room);
  if (plan.sampling.min_tokens > max_tokens) {
    return invalid("min_tokens",
                   absl::StrCat("must not exceed ", std::string(rules.max_tokens_field), ", which is ", max_tokens));
  }
  plan.prompts.push_back(std::move(ids));
  plan.max_tokens.push_back(static_cast<int>(max_tokens));
  return cut;
}

absl::StatusOr<std::vector<int32_t>> encode_prompt(const ServedModel& model, std::string_view text, bool add_special,
                                                   size_t ids_max, std::string_view field) {
  RETURN_IF_ERROR(need_tokenizer(model, field));
  // A token covers at most as many bytes as the vocabulary's longest entry.
  if (ids_max > 0 && text.size() / std::max<size_t>(1, model.token_bytes_max) > ids_max) {
    return invalid(field, absl::StrCat("a text of ", text.size(), " bytes exceeds the maximum context length of ",
                                       model.model_len_max, " tokens"));
  }
  return model.tokenizer->encode(text, add_special);
}

}  // namespace polymath::api
