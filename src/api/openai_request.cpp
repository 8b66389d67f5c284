#include "api/openai_request.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/openai_sampling.h"
#include "api/status.h"

namespace polymath::api {
namespace {

absl::Status parse_model(base::JsonReader& j, const ServedModel& model, AnswerOptions& answer) {
  answer.model = j.s("model", model.names.front());
  RETURN_IF_ERROR(name_field(j.status()));
  if (serves(model, answer.model)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("the model `", answer.model.substr(0, 128), "` does not exist here; /v1/models lists what does"));
}

absl::Status parse_stream(base::JsonReader& j, AnswerOptions& answer) {
  answer.stream = j.b("stream", false);
  if (!j.has("stream_options")) return absl::OkStatus();
  base::JsonReader options = j.object("stream_options");
  answer.include_usage = options.b("include_usage", false);
  answer.continuous_usage = options.b("continuous_usage_stats", false);
  RETURN_IF_ERROR(name_field(j.status()));
  if (!answer.stream) return invalid("stream_options", "is only for stream: true");
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
  } else if (j.has("logprobs")) {
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
    out.answer.prompt_logprobs = true;
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
  if (j.has("max_tokens")) out.max_tokens = j.i("max_tokens");
  if (out.chat.has_value() && j.has("max_completion_tokens")) out.max_tokens = j.i("max_completion_tokens");
  if (j.has("truncate_prompt_tokens")) out.truncate_prompt = j.i("truncate_prompt_tokens");
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
  if (out.max_tokens.has_value() && *out.max_tokens < (out.answer.echo ? 0 : 1)) {
    return invalid("max_tokens", "must be at least 1 (0 is for echo alone)");
  }
  out.plan.drop_output = out.max_tokens == 0;
  if (out.truncate_prompt.has_value() && (*out.truncate_prompt < -1 || *out.truncate_prompt == 0)) {
    return invalid("truncate_prompt_tokens", "must be -1 or at least 1");
  }
  return absl::OkStatus();
}

// How many of the prompt's ids are kept; 0: all.
size_t kept_ids(const OpenAiRequest& request, int room) {
  if (!request.truncate_prompt.has_value()) return 0;
  if (*request.truncate_prompt > 0) return static_cast<size_t>(*request.truncate_prompt);
  return static_cast<size_t>(std::max(1, room));
}

absl::Status too_long(const ServedModel& model, size_t prompt, int64_t output) {
  const std::string total = absl::StrCat(static_cast<int64_t>(prompt) + output);
  return invalid(output > 1 ? "max_tokens" : "prompt",
                 absl::StrCat("this model's maximum context length is ", model.model_len_max,
                              " tokens, but the request needs ", total, ": ", prompt, " for the prompt and ", output,
                              " for the answer; shorten the prompt or ask for less"));
}

// Settles one prompt's length and how many tokens may follow it.
absl::Status add_prompt(OpenAiRequest& request, const ServedModel& model, std::vector<int32_t> ids) {
  const int wanted = request.plan.drop_output ? 1 : request.max_tokens.value_or(0);
  const size_t keep = kept_ids(request, model.model_len_max - std::max(1, wanted));
  if (keep > 0 && ids.size() > keep) ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(keep));
  if (ids.empty()) return invalid("prompt", "must hold at least one token");
  const auto room = static_cast<int64_t>(model.model_len_max) - static_cast<int64_t>(ids.size());
  if (room < std::max(1, wanted)) return too_long(model, ids.size(), std::max(1, wanted));
  int64_t max_tokens = wanted;
  if (wanted == 0) {
    max_tokens = room;
    if (request.max_tokens_default > 0) max_tokens = std::min<int64_t>(room, request.max_tokens_default);
    if (model.defaults.max_tokens.has_value()) max_tokens = std::min<int64_t>(max_tokens, *model.defaults.max_tokens);
  }
  if (request.plan.sampling.min_tokens > max_tokens) {
    return invalid("min_tokens", absl::StrCat("must not exceed max_tokens, which is ", max_tokens));
  }
  request.plan.prompts.push_back(std::move(ids));
  request.plan.max_tokens.push_back(static_cast<int>(max_tokens));
  return absl::OkStatus();
}

std::string decode_ids(const ServedModel& model, const std::vector<int32_t>& ids, bool skip_special) {
  return model.tokenizer == nullptr ? "" : model.tokenizer->decode(ids, skip_special);
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> parse_ids(const base::JsonValue& value, std::string_view field, int vocab) {
  if (!value.is_array()) return invalid(field, "must be an array of token ids");
  std::vector<int32_t> ids;
  ids.reserve(value.get_array().size());
  for (const base::JsonValue& item : value.get_array()) {
    if (!item.is_int64()) return invalid(field, "token ids must be integers, and all items of one kind");
    const int64_t id = item.get_int64();
    if (id < 0 || id >= vocab) {
      return invalid(field, absl::StrCat("token id ", id, " is not in the vocabulary of ", vocab));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

absl::StatusOr<OpenAiRequest> parse_openai_request(const base::JsonValue& json, Endpoint endpoint,
                                                   const ServedModel& model, const OpenAiLimits& limits) {
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  OpenAiRequest out;
  RETURN_IF_ERROR(parse_model(j, model, out.answer));
  RETURN_IF_ERROR(check_fields(json.get_object(), endpoint));
  RETURN_IF_ERROR(parse_answer(j, out.answer));
  if (endpoint == Endpoint::kChat) {
    RETURN_IF_ERROR(need_tokenizer(model, "messages"));
    ASSIGN_OR_RETURN(out.chat, parse_chat_prompt(json, limits.limits, limits.trust_template));
  } else {
    out.answer.echo = j.b("echo", false);
    RETURN_IF_ERROR(parse_prompts(j, model, limits.limits, out));
    out.max_tokens_default = 16;
  }
  out.add_special = j.b("add_special_tokens", endpoint == Endpoint::kCompletions);
  RETURN_IF_ERROR(parse_counts(j, limits.limits, out));
  RETURN_IF_ERROR(parse_sampling(j, model, limits.limits, out.plan));
  RETURN_IF_ERROR(parse_logprobs(j, endpoint, limits.limits, out));
  return out;
}

absl::StatusOr<std::vector<int32_t>> encode_prompt(const ServedModel& model, std::string_view text, bool add_special,
                                                   size_t ids_max) {
  RETURN_IF_ERROR(need_tokenizer(model, "prompt"));
  // The longest entry of the vocabulary bounds what a token can stand for, so that megabytes are not tokenized in vain.
  if (ids_max > 0 && text.size() / std::max<size_t>(1, model.token_bytes_max) > ids_max) {
    return invalid("prompt", absl::StrCat("a text of ", text.size(), " bytes exceeds the maximum context length of ",
                                          model.model_len_max, " tokens"));
  }
  return model.tokenizer->encode(text, add_special);
}

absl::Status resolve_prompts(OpenAiRequest& request, const ServedModel& model) {
  const size_t ids_max = request.truncate_prompt.has_value() ? 0 : static_cast<size_t>(model.model_len_max);
  if (request.chat.has_value()) {
    ASSIGN_OR_RETURN(const std::string text, render_chat(model, *request.chat));
    ASSIGN_OR_RETURN(auto ids, encode_prompt(model, text, request.add_special, ids_max));
    return add_prompt(request, model, std::move(ids));
  }
  for (PromptInput& prompt : request.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    std::vector<int32_t> ids;
    if (text != nullptr) {
      ASSIGN_OR_RETURN(ids, encode_prompt(model, *text, request.add_special, ids_max));
    } else {
      ids = std::move(std::get<std::vector<int32_t>>(prompt));
    }
    const size_t n_ids = ids.size();
    RETURN_IF_ERROR(add_prompt(request, model, std::move(ids)));
    if (request.answer.echo) {
      const std::vector<int32_t>& kept = request.plan.prompts.back();
      const bool whole = text != nullptr && kept.size() == n_ids;
      request.echo_texts.push_back(whole ? *text : decode_ids(model, kept, request.plan.skip_special));
    }
  }
  return absl::OkStatus();
}

}  // namespace polymath::api
