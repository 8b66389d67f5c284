#include "api/openai/request.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/openai/sampling.h"
#include "api/status.h"

namespace polymath::api {
namespace {

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

absl::Status parse_answer(base::JsonReader& j, AnswerOptions& answer) {
  RETURN_IF_ERROR(parse_stream(j, answer));
  answer.return_token_ids = j.b("return_token_ids", false);
  answer.tokens_as_ids = j.b("return_tokens_as_token_ids", false);
  answer.request_id = j.s("request_id", "");
  return name_field(j.status());
}

absl::Status check_count(std::string_view field, int value, int max) {
  if (value >= 0 && value <= max) return absl::OkStatus();
  return invalid(field, absl::StrCat("must be between 0 and ", max, " (--max-logprobs)"));
}

absl::Status parse_logprobs(base::JsonReader& j, Endpoint endpoint, const ApiLimits& limits, OpenAiRequest& out) {
  engine::SamplingParams& sampling = out.plan.sampling;
  if (endpoint == Endpoint::kChat) {
    out.answer.logprobs = j.b("logprobs", false);
    out.answer.top_logprobs = j.i("top_logprobs", 0);
    RETURN_IF_ERROR(check_count("top_logprobs", out.answer.top_logprobs, limits.logprobs_max));
    if (out.answer.top_logprobs > 0 && !out.answer.logprobs) return invalid("top_logprobs", "needs logprobs: true");
  } else if (const auto* count = j.find("logprobs"); count != nullptr && *count != false) {
    out.answer.logprobs = true;
    out.answer.top_logprobs = j.i("logprobs");
    RETURN_IF_ERROR(check_count("logprobs", out.answer.top_logprobs, limits.logprobs_max));
  }
  RETURN_IF_ERROR(name_field(j.status()));
  if (out.answer.logprobs) sampling.logprobs = out.answer.top_logprobs;
  if (j.has("prompt_logprobs")) {
    sampling.prompt_logprobs = j.i("prompt_logprobs");
    RETURN_IF_ERROR(name_field(j.status()));
    RETURN_IF_ERROR(check_count("prompt_logprobs", sampling.prompt_logprobs, limits.logprobs_max));
    if (out.answer.stream) return invalid("prompt_logprobs", "is not for stream: true");
    out.answer.prompt_logprobs = sampling.prompt_logprobs;
  }
  if (out.answer.echo && out.answer.logprobs) {
    if (out.answer.stream) return invalid("echo", "with logprobs is not for stream: true");
    sampling.prompt_logprobs = std::max(sampling.prompt_logprobs, out.answer.top_logprobs);
  }
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

absl::Status parse_counts(base::JsonReader& j, const ApiLimits& limits, OpenAiRequest& out) {
  out.plan.n = j.i("n", 1);
  out.rules.clamp = limits.clamp_max_tokens;
  if (out.chat.has_value()) out.rules.prompt_field = "messages";
  if (out.chat.has_value() && j.has("max_completion_tokens")) out.rules.max_tokens_field = "max_completion_tokens";
  if (j.has(out.rules.max_tokens_field)) out.rules.max_tokens = j.i(out.rules.max_tokens_field);
  if (j.has("truncate_prompt_tokens")) out.rules.truncate = j.i("truncate_prompt_tokens");
  const int best_of = out.chat.has_value() ? out.plan.n : j.i("best_of", out.plan.n);
  RETURN_IF_ERROR(name_field(j.status()));
  if (out.plan.n < 1 || out.plan.n > limits.n_max) {
    return invalid("n", absl::StrCat("must be between 1 and ", limits.n_max));
  }
  if (best_of != out.plan.n) return not_built("best_of", "only a best_of equal to n is built");
  const auto n_prompts = static_cast<int64_t>(out.chat.has_value() ? 1 : out.prompts.size());
  if (n_prompts * out.plan.n > limits.choices_max) {
    return invalid("n", absl::StrCat("at most ", limits.choices_max, " choices in a request, prompts times n"));
  }
  if (out.rules.max_tokens.has_value() && *out.rules.max_tokens < (out.answer.echo ? 0 : 1)) {
    return invalid(out.rules.max_tokens_field, "must be at least 1 (0 is for echo alone)");
  }
  out.plan.drop_output = out.rules.max_tokens == 0;
  if (out.rules.truncate.has_value() && (*out.rules.truncate < -1 || *out.rules.truncate == 0)) {
    return invalid("truncate_prompt_tokens", "must be -1 or at least 1");
  }
  return absl::OkStatus();
}

std::string decode_ids(const ServedModel& model, const std::vector<int32_t>& ids, bool skip_special) {
  return model.tokenizer == nullptr ? "" : model.tokenizer->decode(ids, skip_special);
}

}  // namespace

absl::StatusOr<OpenAiRequest> parse_openai_request(const base::JsonValue& json, Endpoint endpoint,
                                                   const ServedModel& model, const OpenAiLimits& limits) {
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  OpenAiRequest out;
  RETURN_IF_ERROR(parse_model(j, model, out));
  RETURN_IF_ERROR(check_fields(json.get_object(), endpoint, out.unknown_fields));
  RETURN_IF_ERROR(parse_answer(j, out.answer));
  if (endpoint == Endpoint::kChat) {
    RETURN_IF_ERROR(need_tokenizer(model, "messages"));
    ASSIGN_OR_RETURN(out.chat, parse_chat_prompt(json, limits.limits, limits.trust_template));
  } else {
    out.answer.echo = j.b("echo", false);
    RETURN_IF_ERROR(parse_prompts(j, model, limits.limits, out));
    out.rules.max_tokens_default = 16;
  }
  out.rules.add_special = j.b("add_special_tokens", endpoint == Endpoint::kCompletions);
  RETURN_IF_ERROR(parse_counts(j, limits.limits, out));
  RETURN_IF_ERROR(parse_sampling(j, model, limits.limits, out.plan));
  RETURN_IF_ERROR(parse_logprobs(j, endpoint, limits.limits, out));
  return out;
}

absl::Status resolve_prompts(OpenAiRequest& request, const ServedModel& model) {
  if (request.chat.has_value()) {
    ASSIGN_OR_RETURN(std::string text, render_chat(model, *request.chat));
    return add_prompt(model, request.rules, std::move(text), request.plan).status();
  }
  for (PromptInput& prompt : request.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    std::string echo = text != nullptr && request.answer.echo ? *text : "";
    const bool is_text = text != nullptr;
    ASSIGN_OR_RETURN(const size_t cut, add_prompt(model, request.rules, std::move(prompt), request.plan));
    if (!request.answer.echo) continue;
    if (!is_text || cut > 0) echo = decode_ids(model, request.plan.prompts.back(), request.plan.skip_special);
    request.echo_texts.push_back(std::move(echo));
  }
  return absl::OkStatus();
}

}  // namespace polymath::api
