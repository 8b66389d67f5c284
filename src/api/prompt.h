#pragma once

// What every dialect does to a prompt: text -> ids, truncation, and the context limit.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/generation.h"
#include "api/served_model.h"
#include "base/status.h"

namespace polymath::api {

using PromptInput = std::variant<std::string, std::vector<int32_t>>;  // text, or ids below the vocabulary's size

// What a request says about the lengths of its prompts, checked: counts are at least 1.
struct PromptRules {
  std::optional<int> max_tokens;  // output tokens; absent: max_tokens_default
  int max_tokens_default = 0;     // 0: as many as fit
  bool clamp = false;             // max_tokens beyond the room: what fits, instead of a refusal
  std::optional<int> truncate;    // keep the last k ids; -1: as many as fit
  bool keep_first = false;        // the first k instead
  bool add_special = true;        // for text: the tokenizer adds its special tokens
  bool with_offsets = false;      // for text: where its tokens are is wanted
  std::function<bool()> stopped;  // asked between and within long work; true: the client has gone. Empty: never
  // The dialect's names of the fields that errors name.
  std::string_view prompt_field = "prompt", max_tokens_field = "max_tokens";
};

struct AddedPrompt {
  size_t cut = 0;                       // how many ids were truncated
  std::vector<text::TextToken> tokens;  // the others, under with_offsets; where the prompt is ids: none
};

// Appends one prompt's ids and its max_tokens to the plan.
// kInvalidArgument: the prompt is empty, too long, or does not fit into the context with its output. A text that cannot
// fit is refused before it is tokenized, or soon after it is found too long. kCancelled: `stopped`.
// REQUIRES: plan.sampling.min_tokens and plan.drop_output are set.
absl::StatusOr<AddedPrompt> add_prompt(const ServedModel& model, const PromptRules& rules, PromptInput prompt,
                                       GenerationPlan& plan);

struct Encoding {
  bool add_special = true;
  bool with_offsets = false;
  std::string_view field = "prompt";  // that errors name
  text::EncodeBounds bounds;
};

struct EncodedText {
  std::vector<int32_t> ids;
  std::vector<text::TextToken> tokens;  // the same ids, under with_offsets
};

// Text -> ids, within the bounds. kInvalidArgument: there is no tokenizer. kCancelled: bounds.stopped.
absl::StatusOr<EncodedText> encode_prompt(const ServedModel& model, std::string_view text, const Encoding& encoding);

// kCancelled: `stopped` is not empty, and true.
absl::Status check_stopped(const std::function<bool()>& stopped);

}  // namespace polymath::api
