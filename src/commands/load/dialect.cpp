#include "commands/load/dialect.h"

#include <utility>

namespace polymath::commands::load {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;

constexpr int64_t kTokensMax = 1 << 30;         // a count of tokens beyond it is not believed
constexpr size_t kErrorBytesMax = 300;          // of a refusal; the rest is cut
constexpr size_t kErrorJsonBytesMax = 1 << 20;  // a larger refusal is not parsed

const JsonValue* member(const JsonValue* value, std::string_view key) {
  if (value == nullptr || !value->is_object()) return nullptr;
  const JsonValue* found = value->get_object().if_contains(boost::json::string_view(key.data(), key.size()));
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::string text_of(const JsonValue* value) {
  if (value == nullptr || !value->is_string()) return "";
  return std::string(value->get_string().data(), value->get_string().size());
}

std::optional<int64_t> count_of(const JsonValue* value) {
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> count = base::whole_number(*value);
  return count.has_value() && *count >= 0 && *count <= kTokensMax ? count : std::nullopt;
}

std::optional<std::vector<int32_t>> ids_of(const JsonValue* value) {
  if (value == nullptr || !value->is_array()) return std::nullopt;
  std::vector<int32_t> ids;
  for (const JsonValue& item : value->get_array()) {
    const auto id = count_of(&item);
    if (!id.has_value()) return std::nullopt;
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

// {"error": "text"}, {"error": {"message": "text"}}, {"object": "error", "message": "text"}.
std::string error_of(const JsonValue& value) {
  const JsonValue* error = member(&value, "error");
  if (error != nullptr && error->is_string()) return text_of(error);
  if (error != nullptr) {
    const std::string message = text_of(member(error, "message"));
    return message.empty() ? base::to_text(*error) : message;
  }
  if (text_of(member(&value, "object")) == "error") return text_of(member(&value, "message"));
  return "";
}

JsonArray ids_json(const std::vector<int32_t>& ids) {
  JsonArray out;
  out.reserve(ids.size());
  for (const int32_t id : ids) out.emplace_back(id);
  return out;
}

// --- OpenAI ---

JsonObject openai_body(const Ask& ask) {
  JsonObject body;
  if (!ask.options.model.empty()) body["model"] = ask.options.model;
  body["max_tokens"] = ask.output_len;
  body["stream"] = true;
  body["stream_options"] = JsonObject{{"include_usage", true}, {"continuous_usage_stats", true}};
  if (ask.options.temperature) body["temperature"] = *ask.options.temperature;
  if (ask.options.top_p) body["top_p"] = *ask.options.top_p;
  if (ask.options.top_k) body["top_k"] = *ask.options.top_k;
  if (ask.options.ignore_eos) body["ignore_eos"] = true;
  if (ask.options.return_token_ids) body["return_token_ids"] = true;
  return body;
}

JsonObject completions_body(const Ask& ask) {
  JsonObject body = openai_body(ask);
  if (ask.form == PromptForm::kIds) {
    body["prompt"] = ids_json(ask.prompt.ids);
  } else {
    body["prompt"] = ask.prompt.text;
  }
  return body;
}

JsonObject chat_body(const Ask& ask) {
  JsonObject body = openai_body(ask);
  JsonArray messages;
  for (const Message& message : ask.prompt.messages) {
    messages.emplace_back(JsonObject{{"role", message.role}, {"content", message.content}});
  }
  body["messages"] = std::move(messages);
  return body;
}

// `texts`: where a choice may have its text; the first that is there counts.
EventFacts read_openai(const JsonValue& event, std::span<const std::string_view> texts, std::string_view holder) {
  EventFacts facts;
  facts.error = error_of(event);
  const JsonValue* usage = member(&event, "usage");
  facts.output_total = count_of(member(usage, "completion_tokens"));
  facts.prompt_total = count_of(member(usage, "prompt_tokens"));
  const JsonValue* choices = member(&event, "choices");
  if (choices == nullptr || !choices->is_array() || choices->get_array().empty()) return facts;
  const JsonValue* choice = &choices->get_array().front();
  facts.has_choice = true;
  facts.ids = ids_of(member(choice, "token_ids"));
  facts.ended = member(choice, "finish_reason") != nullptr;
  const JsonValue* text_holder = holder.empty() ? choice : member(choice, holder);
  for (const std::string_view text : texts) {
    if (facts.text.empty()) facts.text = text_of(member(text_holder, text));
  }
  return facts;
}

EventFacts read_completion(const JsonValue& event) {
  static constexpr std::string_view kTexts[] = {"text"};
  return read_openai(event, kTexts, "");
}

// A reasoning model's thoughts are tokens, too; servers name them in two ways.
EventFacts read_chat(const JsonValue& event) {
  static constexpr std::string_view kTexts[] = {"content", "reasoning_content", "reasoning"};
  return read_openai(event, kTexts, "delta");
}

// --- TGI ---

JsonObject tgi_body(const Ask& ask) {
  JsonObject parameters{{"max_new_tokens", ask.output_len}, {"details", true}};
  if (ask.options.temperature && *ask.options.temperature > 0) parameters["temperature"] = *ask.options.temperature;
  if (ask.options.top_p && *ask.options.top_p < 1) parameters["top_p"] = *ask.options.top_p;
  if (ask.options.top_k && *ask.options.top_k > 0) parameters["top_k"] = *ask.options.top_k;
  return {{"inputs", ask.prompt.text}, {"parameters", std::move(parameters)}};
}

// An event has one token, and the last one the whole text as well.
EventFacts read_tgi_event(const JsonValue& event) {
  EventFacts facts;
  facts.error = error_of(event);
  const JsonValue* token = member(&event, "token");
  facts.has_choice = token != nullptr;
  facts.text = text_of(member(token, "text"));
  const auto id = count_of(member(token, "id"));
  if (id.has_value()) facts.ids = std::vector<int32_t>{static_cast<int32_t>(*id)};
  facts.ended = member(&event, "generated_text") != nullptr;
  const JsonValue* details = member(&event, "details");
  facts.output_total = count_of(member(details, "generated_tokens"));
  facts.prompt_total = count_of(member(details, "input_length"));
  return facts;
}

EventFacts read_tgi_answer(const JsonValue& answer) {
  EventFacts facts;
  facts.error = error_of(answer);
  const JsonValue* text = member(&answer, "generated_text");
  facts.has_choice = text != nullptr;
  facts.ended = text != nullptr;
  facts.text = text_of(text);
  const JsonValue* details = member(&answer, "details");
  facts.output_total = count_of(member(details, "generated_tokens"));
  const JsonValue* tokens = member(details, "tokens");
  if (tokens == nullptr || !tokens->is_array()) return facts;
  std::vector<int32_t> ids;
  for (const JsonValue& token : tokens->get_array()) {
    if (const auto id = count_of(member(&token, "id")); id.has_value()) ids.push_back(static_cast<int32_t>(*id));
  }
  if (ids.size() == tokens->get_array().size()) facts.ids = std::move(ids);
  return facts;
}

// vLLM's own benchmark calls the first of them vllm, too.
constexpr Dialect kDialects[] = {
    {"openai", "/v1/completions", true, true, false, completions_body, read_completion},
    {"vllm", "/v1/completions", true, true, false, completions_body, read_completion},
    {"openai-chat", "/v1/chat/completions", true, false, true, chat_body, read_chat},
    {"tgi", "/generate_stream", true, false, false, tgi_body, read_tgi_event},
    {"tgi-generate", "/generate", false, false, false, tgi_body, read_tgi_answer},
};

}  // namespace

std::span<const Dialect> dialects() { return kDialects; }

const Dialect* find_dialect(std::string_view name) {
  for (const Dialect& dialect : kDialects) {
    if (dialect.name == name) return &dialect;
  }
  return nullptr;
}

std::string error_text(std::string_view body) {
  const auto json = base::parse_json(body, {.bytes_max = kErrorJsonBytesMax});
  std::string text = json.ok() ? error_of(*json) : "";
  if (text.empty()) text = std::string(body);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (text.size() > kErrorBytesMax) text.resize(kErrorBytesMax);
  return text;
}

}  // namespace polymath::commands::load
