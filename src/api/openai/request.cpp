#include "api/openai/request.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/openai/logprob_fields.h"
#include "api/openai/sampling.h"
#include "api/openai/structure_fields.h"
#include "api/status.h"

namespace polymath::api {
namespace {

constexpr double kLengthPenaltyMax = 10;  // of either sign; beyond: 400

absl::Status parse_model(base::JsonReader& j, const ServedModel& model, OpenAiRequest& out) {
  out.answer.model = j.s("model", model.names.front());
  RETURN_IF_ERROR(name_field(j.status()));
  ASSIGN_OR_RETURN(out.plan.adapter, adapter_of(model, out.answer.model));
  return absl::OkStatus();
}

absl::Status parse_stream(base::JsonReader& j, AnswerOptions& answer) {
  answer.stream = j.b("stream", false);
  if (!j.has("stream_options")) return absl::OkStatus();
  base::JsonReader options = j.object("stream_options");
  answer.include_usage = options.b("include_usage", false);
  answer.continuous_usage = options.b("continuous_usage_stats", false);
  RETURN_IF_ERROR(name_field(j.status()));
  const bool asks = answer.include_usage || answer.continuous_usage;
  if (!answer.stream && asks) return invalid("stream_options", "is only for stream: true");
  return absl::OkStatus();
}

absl::Status parse_answer(base::JsonReader& j, const ApiLimits& limits, AnswerOptions& answer) {
  RETURN_IF_ERROR(parse_stream(j, answer));
  answer.return_token_ids = j.b("return_token_ids", false);
  answer.tokens_as_ids = j.b("return_tokens_as_token_ids", false);
  answer.return_prompt_text = j.b("return_prompt_text", false);
  answer.return_token_offsets = j.b("return_token_offsets", false);
  answer.return_assistant_mask = j.b("return_assistant_tokens_mask", false);
  answer.echo = j.b("echo", false);
  answer.request_id = j.s("request_id", "");
  answer.stream_interval = j.i("stream_interval", limits.stream_interval);
  RETURN_IF_ERROR(name_field(j.status()));
  if (answer.stream_interval < 1) return invalid("stream_interval", "must be at least 1");
  return absl::OkStatus();
}

absl::StatusOr<PromptInput> parse_prompt(const base::JsonValue& value, int vocab) {
  if (value.is_string()) return PromptInput(std::string(value.get_string()));
  if (!value.is_array()) return invalid("prompt", "must be a string, an array of strings, or token ids");
  ASSIGN_OR_RETURN(auto ids, parse_ids(value, "prompt", vocab));
  return PromptInput(std::move(ids));
}

absl::Status parse_prompts(const base::JsonReader& j, const ServedModel& model, const ApiLimits& limits,
                           OpenAiRequest& out) {
  const auto* prompt = j.find("prompt");
  if (prompt == nullptr) return invalid("prompt", "missing");
  const bool is_list = prompt->is_array() && !prompt->get_array().empty() && !prompt->get_array().front().is_number();
  if (!is_list) {
    ASSIGN_OR_RETURN(PromptInput one, parse_prompt(*prompt, model.vocab));
    out.prompts.push_back(std::move(one));
    return absl::OkStatus();
  }
  const base::JsonArray& list = prompt->get_array();
  if (list.size() > static_cast<size_t>(limits.prompts_max)) {
    return invalid("prompt", absl::StrCat("at most ", limits.prompts_max, " prompts in a request"));
  }
  for (const base::JsonValue& item : list) {
    ASSIGN_OR_RETURN(PromptInput one, parse_prompt(item, model.vocab));
    out.prompts.push_back(std::move(one));
  }
  return absl::OkStatus();
}

// n, best_of. The plan's choices are the candidates.
absl::Status parse_choices(base::JsonReader& j, const ApiLimits& limits, OpenAiRequest& out) {
  const bool is_chat = out.chat.has_value();
  out.answer.n = j.i("n", 1);
  out.plan.n = is_chat ? out.answer.n : j.i("best_of", out.answer.n);
  RETURN_IF_ERROR(name_field(j.status()));
  const auto range = absl::StrCat("must be between 1 and ", limits.n_max);
  if (out.answer.n < 1 || out.answer.n > limits.n_max) return invalid("n", range);
  if (out.plan.n < out.answer.n) return invalid("best_of", absl::StrCat("must be at least n, which is ", out.answer.n));
  if (out.plan.n > limits.n_max) return invalid("best_of", range);
  if (out.plan.n > out.answer.n && out.answer.stream) return invalid("best_of", "beyond n is not for stream: true");
  const auto n_prompts = static_cast<int64_t>(is_chat ? 1 : out.prompts.size());
  if (n_prompts * out.plan.n <= limits.choices_max) return absl::OkStatus();
  return invalid("n",
                 absl::StrCat("at most ", limits.choices_max, " choices in a request, prompts times n or best_of"));
}

absl::Status parse_truncation(base::JsonReader& j, OpenAiRequest& out) {
  if (j.has("truncate_prompt_tokens")) out.rules.truncate = j.i("truncate_prompt_tokens");
  const std::string side = j.s("truncation_side", "left");
  RETURN_IF_ERROR(name_field(j.status()));
  if (out.rules.truncate.has_value() && (*out.rules.truncate < -1 || *out.rules.truncate == 0)) {
    return invalid("truncate_prompt_tokens", "must be -1 or at least 1");
  }
  if (side != "left" && side != "right") return invalid("truncation_side", "must be left or right");
  out.rules.keep_first = side == "right";
  return absl::OkStatus();
}

absl::Status parse_suffix(base::JsonReader& j, OpenAiRequest& out) {
  const std::string suffix = j.s("suffix", "");
  RETURN_IF_ERROR(name_field(j.status()));
  if (suffix.empty()) return absl::OkStatus();
  if (out.answer.echo) return invalid("suffix", "is not for echo: true");
  if (out.rules.truncate.has_value()) return invalid("suffix", "is not for truncate_prompt_tokens");
  out.suffix = suffix;
  return absl::OkStatus();
}

// Fields that a beam search, which samples nothing, would have to ignore.
absl::Status check_beam_search(const OpenAiRequest& out) {
  const engine::SamplingParams& s = out.plan.sampling;
  const struct {
    bool asked;
    const char* field;
  } rows[] = {
      {out.answer.stream, "stream"},
      {!out.plan.stop.empty(), "stop"},
      {out.plan.drop_output, "max_tokens"},
      {!s.logit_bias.empty(), "logit_bias"},
      {!s.allowed_ids.empty(), "allowed_token_ids"},
      {!s.bad_ids.empty(), "bad_words"},
      {!s.logprob_ids.empty(), "logprob_token_ids"},
      {s.min_tokens > 0, "min_tokens"},
      {out.form.has_value(), out.form.has_value() ? out.form->field.c_str() : ""},
      {s.repetition.pattern_max > 0, "repetition_detection"},
      {out.chat.has_value() && out.chat->thinking_budget.value_or(-1) >= 0, "thinking_token_budget"},
  };
  for (const auto& row : rows) {
    if (row.asked) return invalid(row.field, "is not for use_beam_search: true");
  }
  return absl::OkStatus();
}

// REQUIRES: all other fields are read.
absl::Status parse_beams(base::JsonReader& j, OpenAiRequest& out) {
  const bool asked = j.b("use_beam_search", false);
  BeamRules rules{.n = out.answer.n};
  rules.length_penalty = j.f("length_penalty", rules.length_penalty);
  rules.early_stopping = j.b("early_stopping", rules.early_stopping);
  RETURN_IF_ERROR(name_field(j.status()));
  if (!asked && rules.length_penalty != 1) return invalid("length_penalty", "needs use_beam_search: true");
  if (!asked && rules.early_stopping) return invalid("early_stopping", "needs use_beam_search: true");
  if (std::abs(rules.length_penalty) > kLengthPenaltyMax) {
    return invalid("length_penalty", absl::StrCat("must be between -", kLengthPenaltyMax, " and ", kLengthPenaltyMax));
  }
  if (!asked) return absl::OkStatus();
  out.beams = rules;
  return check_beam_search(out);
}

absl::Status parse_lengths(base::JsonReader& j, const ApiLimits& limits, OpenAiRequest& out) {
  const bool is_chat = out.chat.has_value();
  out.rules.clamp = limits.clamp_max_tokens;
  if (is_chat) out.rules.prompt_field = "messages";
  if (is_chat && j.has("max_completion_tokens")) out.rules.max_tokens_field = "max_completion_tokens";
  if (j.has(out.rules.max_tokens_field)) out.rules.max_tokens = j.i(out.rules.max_tokens_field);
  RETURN_IF_ERROR(name_field(j.status()));
  const bool echo_alone = out.answer.echo && !is_chat;
  if (out.rules.max_tokens.has_value() && *out.rules.max_tokens < (echo_alone ? 0 : 1)) {
    return invalid(out.rules.max_tokens_field, "must be at least 1 (0 is for echo alone)");
  }
  out.plan.drop_output = out.rules.max_tokens == 0;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OpenAiRequest> parse_openai_request(const base::JsonValue& json, Endpoint endpoint,
                                                   const ServedModel& model, const OpenAiLimits& limits) {
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  OpenAiRequest out;
  RETURN_IF_ERROR(parse_model(j, model, out));
  RETURN_IF_ERROR(check_fields(json.get_object(), endpoint, out.unknown_fields));
  RETURN_IF_ERROR(parse_answer(j, limits.limits, out.answer));
  if (endpoint == Endpoint::kChat) {
    RETURN_IF_ERROR(need_tokenizer(model, "messages"));
    ASSIGN_OR_RETURN(out.chat, parse_chat_prompt(json, limits.limits, limits.trust_template));
  } else {
    RETURN_IF_ERROR(parse_prompts(j, model, limits.limits, out));
    out.rules.max_tokens_default = 16;
  }
  out.rules.add_special = j.b("add_special_tokens", endpoint == Endpoint::kCompletions);
  RETURN_IF_ERROR(parse_choices(j, limits.limits, out));
  RETURN_IF_ERROR(parse_lengths(j, limits.limits, out));
  RETURN_IF_ERROR(parse_truncation(j, out));
  if (endpoint == Endpoint::kCompletions) RETURN_IF_ERROR(parse_suffix(j, out));
  RETURN_IF_ERROR(parse_sampling(j, model, limits.limits, out.plan));
  RETURN_IF_ERROR(parse_logprobs(j, model, limits.limits, out));
  ASSIGN_OR_RETURN(out.form, parse_structure(j));
  RETURN_IF_ERROR(parse_beams(j, out));
  // The best are chosen by their log-probabilities.
  if (out.plan.n > out.answer.n) out.plan.sampling.logprobs = std::max(0, out.plan.sampling.logprobs);
  return out;
}

}  // namespace polymath::api
