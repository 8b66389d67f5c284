#include "api/openai/fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/sampling_fields.h"
#include "api/status.h"

namespace polymath::api {
namespace {

constexpr uint8_t kText = static_cast<uint8_t>(Endpoint::kCompletions);
constexpr uint8_t kChat = static_cast<uint8_t>(Endpoint::kChat);
constexpr uint8_t kBoth = kText | kChat;
constexpr Treatment kIgnored = Treatment::kIgnored;
constexpr Treatment kRefused = Treatment::kRefused;

// In the order of docs/reference/api.md.
constexpr Field kFields[] = {
    {.name = "model", .note = "one of --served-model-name, or an adapter's name; absent: the first"},
    {.name = "prompt", .endpoints = kText, .note = "a string, strings, token ids, or arrays of token ids"},
    {.name = "messages", .endpoints = kChat, .note = "content: a string, null, or parts of text"},
    {.name = "max_tokens", .note = "completions: 16 by default; chat: what fits; --clamp-max-tokens: never beyond it"},
    {.name = "max_completion_tokens", .endpoints = kChat, .note = "the newer name of max_tokens; wins over it"},
    {.name = "n", .note = "choices of each prompt; choice i samples with seed + i"},
    {.name = "best_of", .endpoints = kText, .note = "of so many choices the n most likely ones; not for streams"},
    {.name = "use_beam_search", .note = "n or best_of beams; not for streams and stop strings; sampling has no effect"},
    {.name = "length_penalty", .note = "of beam search: scores are divided by length to this power"},
    {.name = "early_stopping", .note = "of beam search: it ends with as many ended beams as it is wide"},
    {.name = "stream", .note = "server-sent events"},
    {.name = "stream_options",
     .note = "include_usage, continuous_usage_stats; only for streams, unless it asks nothing"},
    {.name = "echo",
     .note = "completions: the prompt precedes the answer, with logprobs also theirs; chat: the last "
             "message does, if it is the assistant's"},
    {.name = "suffix",
     .endpoints = kText,
     .note = "the answer goes between prompt and suffix; needs a tokenizer with "
             "tokens for infilling"},
    {.name = "temperature", .note = "0: greedy"},
    {.name = "top_p"},
    {.name = "top_k", .note = "0 or -1: off"},
    {.name = "min_p"},
    {.name = "presence_penalty"},
    {.name = "frequency_penalty"},
    {.name = "repetition_penalty"},
    {.name = "logit_bias", .note = "{\"id\": -100..100}; values beyond are clamped"},
    {.name = "allowed_token_ids", .note = "no other token is chosen"},
    {.name = "bad_words", .note = "up to 128; none is generated, behind a blank or not"},
    {.name = "seed", .note = "absent or -1: a random one for each request"},
    {.name = "stop", .note = "a string or up to 64 (--max-stop-strings)"},
    {.name = "stop_token_ids"},
    {.name = "include_stop_str_in_output"},
    {.name = "ignore_eos"},
    {.name = "min_tokens"},
    {.name = "repetition_detection",
     .note =
         "{max_pattern_size, min_pattern_size, min_count}: a pattern of at most 256 tokens that often in a row ends "
         "the answer, finish_reason repetition"},
    {.name = "skip_special_tokens", .note = "true by default"},
    {.name = "logprobs", .note = "completions: how many, or false; chat: true or false"},
    {.name = "top_logprobs", .endpoints = kChat, .note = "-1: the whole vocabulary, under --max-logprobs -1"},
    {.name = "prompt_logprobs", .note = "not for streams"},
    {.name = "logprob_token_ids", .note = "up to 128; logprobs show these ids instead of the best"},
    {.name = "truncate_prompt_tokens", .note = "keeps the last k; -1: as many as fit"},
    {.name = "truncation_side", .note = "left by default; right: truncate_prompt_tokens keeps the first k"},
    {.name = "add_special_tokens", .note = "completions: true by default; chat: false, the template writes them"},
    {.name = "return_token_ids", .note = "token_ids with every choice, prompt_token_ids once"},
    {.name = "return_prompt_text",
     .note = "prompt_text: what was tokenized; once, or with every choice of a completion"},
    {.name = "return_token_offsets",
     .note = "prompt_token_offsets: [begin, end] of each prompt token in characters; null where the prompt is ids"},
    {.name = "return_assistant_tokens_mask",
     .endpoints = kChat,
     .note = "assistant_tokens_mask: 1 for prompt tokens of the template's generation blocks, else 0"},
    {.name = "stream_interval", .note = "tokens of a chunk, but for the first and the last"},
    {.name = "return_tokens_as_token_ids", .note = "logprobs name tokens as \"token_id:123\""},
    {.name = "cache_salt",
     .note = "1 to 1024 characters; prompts share cached prefixes only under the same salt and key"},
    {.name = "priority", .note = "lower goes first under --scheduling-policy priority"},
    {.name = "request_id", .note = "as the X-Request-Id header"},
    {.name = "tools",
     .endpoints = kChat,
     .note = "handed to the chat template; calls are read by --tool-call-parser's format"},
    {.name = "tool_choice",
     .endpoints = kChat,
     .note = "none: tools are left out; auto; required, or a function: the answer is calls"},
    {.name = "parallel_tool_calls", .endpoints = kChat, .note = "false: the answer ends with its first call"},
    {.name = "functions", .endpoints = kChat, .note = "as tools; the answer has one function_call"},
    {.name = "function_call", .endpoints = kChat, .note = "none, auto or a function, as tool_choice"},
    {.name = "include_reasoning", .endpoints = kChat, .note = "false: reasoning is left out of the answer"},
    {.name = "thinking_token_budget",
     .endpoints = kChat,
     .note = "tokens of reasoning, then it is ended; -1: no limit"},
    {.name = "documents", .endpoints = kChat, .note = "handed to the chat template"},
    {.name = "reasoning_effort", .endpoints = kChat, .note = "handed to the chat template"},
    {.name = "chat_template",
     .endpoints = kChat,
     .note = "a name of the model's; its own text needs --trust-request-chat-template"},
    {.name = "chat_template_kwargs", .endpoints = kChat, .note = "more variables; what the request says itself stays"},
    {.name = "add_generation_prompt", .endpoints = kChat, .note = "true by default"},
    {.name = "continue_final_message", .endpoints = kChat, .note = "the answer goes on where the last message ends"},

    {.name = "response_format", .note = "text, json_object, json_schema or structural_tag: see Structured output"},
    {.name = "structured_outputs", .note = "one of json, regex, choice, grammar, json_object, structural_tag"},
    {.name = "guided_json", .note = "as structured_outputs.json"},
    {.name = "guided_regex", .note = "as structured_outputs.regex"},
    {.name = "guided_choice", .note = "as structured_outputs.choice"},
    {.name = "guided_grammar", .note = "as structured_outputs.grammar"},
    {.name = "guided_whitespace_pattern", .note = "of the blanks in guided_json"},

    {.name = "user", .treatment = kIgnored},
    {.name = "metadata", .treatment = kIgnored},
    {.name = "store", .treatment = kIgnored},
    {.name = "service_tier", .treatment = kIgnored},
    {.name = "session_id", .treatment = kIgnored},
    {.name = "safety_identifier", .treatment = kIgnored},
    {.name = "prompt_cache_key", .treatment = kIgnored, .note = "prefixes are found without it"},
    {.name = "prompt_cache_retention", .treatment = kIgnored, .note = "prefixes are found without it"},
    {.name = "guided_decoding_backend", .treatment = kIgnored, .note = "there is one implementation"},
    {.name = "spaces_between_special_tokens", .treatment = kIgnored, .note = "for tokenizers in Python alone"},

    {.name = "structural_tag", .treatment = kRefused},
    {.name = "grammar", .treatment = kRefused},
    {.name = "regex", .treatment = kRefused},
    {.name = "ebnf", .treatment = kRefused},
    {.name = "format", .treatment = kRefused},
    {.name = "json_schema", .treatment = kRefused},
    {.name = "json_object", .treatment = kRefused},
    {.name = "output_format", .treatment = kRefused},
    {.name = "nvext", .treatment = kRefused},
    {.name = "extra_body", .treatment = kRefused, .note = "its members belong into the request itself"},
    {.name = "thinking_token_budget",
     .endpoints = kText,
     .treatment = kRefused,
     .neutral = "-1",
     .note = "chat has it"},
    {.name = "routed_experts_prompt_start", .treatment = kRefused, .neutral = "0"},
    {.name = "prompt_embeds", .endpoints = kText, .treatment = kRefused, .note = "tensors are not taken from clients"},
    {.name = "modalities", .endpoints = kChat, .treatment = kRefused, .neutral = R"(["text"])", .note = "text alone"},
    {.name = "audio", .endpoints = kChat, .treatment = kRefused, .note = "text alone"},
    {.name = "mm_processor_kwargs", .treatment = kRefused, .note = "text alone"},
    {.name = "media_io_kwargs", .treatment = kRefused, .note = "text alone"},
    {.name = "prediction", .endpoints = kChat, .treatment = kRefused},
    {.name = "web_search_options", .endpoints = kChat, .treatment = kRefused},
    {.name = "return_sampling_mask", .treatment = kRefused},
    {.name = "return_weight_versions", .treatment = kRefused},
    {.name = "watermarking", .treatment = kRefused},
    {.name = "kv_transfer_params", .treatment = kRefused},
    {.name = "ec_transfer_params", .treatment = kRefused},
    {.name = "vllm_xargs", .treatment = kRefused},
    {.name = "logits_processors", .treatment = kRefused},
};
static_assert(kBoth == Field{}.endpoints);

}  // namespace

std::span<const Field> openai_fields() { return kFields; }

absl::Status check_fields(const base::JsonObject& request, Endpoint endpoint, std::vector<std::string>& unknown) {
  const auto bit = static_cast<uint8_t>(endpoint);
  for (const auto& member : request) {
    const std::string_view name(member.key().data(), member.key().size());
    const auto* const row = std::find_if(std::begin(kFields), std::end(kFields),
                                         [&](const Field& f) { return f.name == name && (f.endpoints & bit) != 0; });
    if (row == std::end(kFields)) {
      if (promises_form(name) && !asks_nothing(member.value(), "")) return not_built(name, "not built yet");
      if (unknown.size() < kUnknownFieldsMax) unknown.push_back(excerpt(name, kUnknownFieldBytesMax));
      continue;
    }
    if (row->treatment != Treatment::kRefused || asks_nothing(member.value(), row->neutral)) continue;
    const std::string note = row->note.empty() ? "" : absl::StrCat(" (", std::string(row->note), ")");
    return not_built(row->name, absl::StrCat("not built yet", note));
  }
  return absl::OkStatus();
}

}  // namespace polymath::api
