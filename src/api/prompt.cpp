#include "api/prompt.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {
namespace {

// How many of the prompt's ids are kept; 0: all.
size_t kept_ids(const ServedModel& model, const PromptRules& rules, int output) {
  if (!rules.truncate.has_value()) return 0;
  if (*rules.truncate > 0) return static_cast<size_t>(*rules.truncate);
  if (rules.clamp && output >= model.model_len_max) output = 1;
  return static_cast<size_t>(std::max(1, model.model_len_max - output));
}

// A refusal says how long a prompt is, if it is at most so many times the context.
constexpr size_t kTokensCounted = 4;

struct Lengths {
  int64_t prompt = 0, output = 1;  // tokens
  bool at_least = false;           // the prompt was not tokenized: a lower bound
};

absl::Status overflow(const ServedModel& model, const PromptRules& rules, const Lengths& lengths) {
  const bool prompt_is_long = lengths.output == 1 || lengths.prompt >= model.model_len_max;
  const char* const at_least = lengths.at_least ? "at least " : "";
  return too_long(prompt_is_long ? rules.prompt_field : rules.max_tokens_field,
                  absl::StrCat("This model's maximum context length is ", model.model_len_max,
                               " tokens. However, the request needs ", at_least, lengths.prompt + lengths.output, ": ",
                               at_least, lengths.prompt, " for the prompt and ", lengths.output,
                               " for the answer. Shorten the prompt, or ask for a shorter answer."));
}

// Output tokens where the request has no max_tokens. REQUIRES: room >= 1.
int64_t default_max_tokens(const ServedModel& model, const PromptRules& rules, int64_t room) {
  int64_t max_tokens = room;
  if (rules.max_tokens_default > 0) max_tokens = std::min<int64_t>(max_tokens, rules.max_tokens_default);
  if (model.defaults.max_tokens.has_value()) max_tokens = std::min<int64_t>(max_tokens, *model.defaults.max_tokens);
  return max_tokens;
}

absl::StatusOr<EncodedText> encoded(const ServedModel& model, const PromptRules& rules, PromptInput prompt) {
  if (auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return EncodedText{.ids = std::move(*ids)};
  const std::string& text = std::get<std::string>(prompt);
  // A token covers at most as many bytes as the vocabulary's longest entry. A hopeless text is not tokenized.
  const auto tokens_min = static_cast<int64_t>(text.size() / std::max<size_t>(1, model.token_bytes_max));
  if (!rules.truncate.has_value() && model.tokenizer != nullptr && tokens_min > model.model_len_max) {
    return overflow(model, rules, {.prompt = tokens_min, .output = 1, .at_least = true});
  }
  const size_t tokens_max = static_cast<size_t>(model.model_len_max) * kTokensCounted;
  text::EncodeBounds bounds{.stopped = rules.stopped};
  if (!rules.truncate.has_value()) bounds.tokens_max = tokens_max;
  ASSIGN_OR_RETURN(EncodedText out, encode_prompt(model, text,
                                                  {.add_special = rules.add_special,
                                                   .with_offsets = rules.with_offsets,
                                                   .field = rules.prompt_field,
                                                   .bounds = bounds}));
  if (out.ids.size() > bounds.tokens_max) {
    return overflow(model, rules, {.prompt = static_cast<int64_t>(tokens_max), .output = 1, .at_least = true});
  }
  return out;
}

// Removes the first or the last `n` of a list that has more, or has none.
template <typename T>
void cut(std::vector<T>& list, size_t n, bool keep_first) {
  if (list.empty()) return;
  const auto from = keep_first ? list.end() - static_cast<std::ptrdiff_t>(n) : list.begin();
  list.erase(from, from + static_cast<std::ptrdiff_t>(n));
}

}  // namespace

absl::StatusOr<AddedPrompt> add_prompt(const ServedModel& model, const PromptRules& rules, PromptInput prompt,
                                       GenerationPlan& plan) {
  ASSIGN_OR_RETURN(EncodedText text, encoded(model, rules, std::move(prompt)));
  std::vector<int32_t>& ids = text.ids;
  int wanted = plan.drop_output ? 1 : rules.max_tokens.value_or(0);
  const size_t keep = kept_ids(model, rules, std::max(1, wanted));
  const size_t n_cut = keep > 0 && ids.size() > keep ? ids.size() - keep : 0;
  cut(ids, n_cut, rules.keep_first);
  cut(text.tokens, n_cut, rules.keep_first);
  if (ids.empty()) return invalid(rules.prompt_field, "must hold at least one token");
  if (model.input_len_max > 0 && ids.size() > static_cast<size_t>(model.input_len_max)) {
    return too_long(rules.prompt_field,
                    absl::StrCat("A prompt may have ", model.input_len_max, " tokens (--max-input-tokens), and ",
                                 std::string(rules.prompt_field), " has ", ids.size(), "."));
  }
  const auto room = static_cast<int64_t>(model.model_len_max) - static_cast<int64_t>(ids.size());
  if (rules.clamp && room >= 1) wanted = static_cast<int>(std::min<int64_t>(wanted, room));
  if (room < std::max(1, wanted)) {
    return overflow(model, rules, {.prompt = static_cast<int64_t>(ids.size()), .output = std::max(1, wanted)});
  }
  const int64_t max_tokens = wanted > 0 ? wanted : default_max_tokens(model, rules, room);
  if (plan.sampling.min_tokens > max_tokens) {
    return invalid("min_tokens",
                   absl::StrCat("must not exceed ", std::string(rules.max_tokens_field), ", which is ", max_tokens));
  }
  plan.prompts.push_back(std::move(ids));
  plan.max_tokens.push_back(static_cast<int>(max_tokens));
  return AddedPrompt{n_cut, std::move(text.tokens)};
}

absl::Status check_stopped(const std::function<bool()>& stopped) {
  return stopped && stopped() ? absl::CancelledError("the client has gone") : absl::OkStatus();
}

absl::StatusOr<EncodedText> encode_prompt(const ServedModel& model, std::string_view text, const Encoding& encoding) {
  RETURN_IF_ERROR(need_tokenizer(model, encoding.field));
  EncodedText out;
  if (encoding.with_offsets) {
    out.tokens = model.tokenizer->encode_with_offsets(text, encoding.add_special, encoding.bounds);
    out.ids.reserve(out.tokens.size());
    for (const text::TextToken& token : out.tokens) out.ids.push_back(token.id);
  } else {
    out.ids = model.tokenizer->encode_within(text, encoding.add_special, encoding.bounds);
  }
  RETURN_IF_ERROR(check_stopped(encoding.bounds.stopped));
  return out;
}

}  // namespace polymath::api
