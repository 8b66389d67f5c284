#include "api/responses/request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/openai/fields.h"
#include "api/request/members.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;

// Items -> messages. What the assistant did in a row, reasoning, words and calls, is one message.
class Conversation {
 public:
  explicit Conversation(JsonArray history) : messages_(std::move(history)) {}

  absl::Status add(const JsonValue& item, const std::string& where) {
    if (!item.is_object()) return invalid(where, "must be an object");
    const JsonObject& object = item.get_object();
    ASSIGN_OR_RETURN(const std::string type, text_member(object, "type", where));
    if (type.empty() || type == "message") return add_message(object, where);
    if (type == "function_call") return add_call(object, where);
    if (type == "function_call_output") return add_output(object, where);
    if (type == "reasoning") return add_reasoning(object, where);
    return invalid(absl::StrCat(where, ".type"),
                   absl::StrCat("items of type ", excerpt(type, 64), " are not supported"));
  }

  JsonArray take() {
    end_assistant();
    return std::move(messages_);
  }

 private:
  absl::Status add_message(const JsonObject& item, const std::string& where) {
    ASSIGN_OR_RETURN(const std::string role, text_member(item, "role", where));
    const auto* content = find_member(item, "content");
    if (content == nullptr) return invalid(absl::StrCat(where, ".content"), "missing");
    if (role == "assistant") {
      if (assistant_.contains("content") || assistant_.contains("tool_calls")) end_assistant();
      assistant_["content"] = *content;
      return absl::OkStatus();
    }
    if (role != "user" && role != "system" && role != "developer") {
      return invalid(absl::StrCat(where, ".role"), "must be user, assistant, system or developer");
    }
    end_assistant();
    messages_.push_back(JsonObject{{"role", role}, {"content", *content}});
    return absl::OkStatus();
  }

  absl::Status add_call(const JsonObject& item, const std::string& where) {
    ASSIGN_OR_RETURN(const std::string id, text_member(item, "call_id", where));
    ASSIGN_OR_RETURN(const std::string name, text_member(item, "name", where));
    ASSIGN_OR_RETURN(const std::string arguments, text_member(item, "arguments", where));
    if (name.empty()) return invalid(absl::StrCat(where, ".name"), "missing");
    if (!assistant_.contains("tool_calls")) assistant_["tool_calls"] = JsonArray{};
    const JsonObject function{{"name", name}, {"arguments", boost::json::string(arguments)}};
    assistant_["tool_calls"].get_array().push_back(
        JsonObject{{"id", id}, {"type", "function"}, {"function", function}});
    return absl::OkStatus();
  }

  absl::Status add_output(const JsonObject& item, const std::string& where) {
    ASSIGN_OR_RETURN(const std::string id, text_member(item, "call_id", where));
    const auto* output = find_member(item, "output");
    if (id.empty()) return invalid(absl::StrCat(where, ".call_id"), "missing");
    if (output == nullptr) return invalid(absl::StrCat(where, ".output"), "missing");
    end_assistant();
    messages_.push_back(JsonObject{{"role", "tool"}, {"tool_call_id", id}, {"content", *output}});
    return absl::OkStatus();
  }

  absl::Status add_reasoning(const JsonObject& item, const std::string& where) {
    std::string text;
    for (const char* name : {"content", "summary"}) {
      const auto* parts = find_member(item, name);
      if (parts == nullptr || !text.empty()) continue;
      if (!parts->is_array()) return invalid(absl::StrCat(where, ".", name), "must be an array");
      for (const JsonValue& part : parts->get_array()) {
        if (!part.is_object()) return invalid(absl::StrCat(where, ".", name), "each part must be an object");
        ASSIGN_OR_RETURN(const std::string piece, text_member(part.get_object(), "text", where));
        text += piece;
      }
    }
    if (assistant_.contains("content") || assistant_.contains("tool_calls")) end_assistant();
    if (!text.empty()) assistant_["reasoning_content"] = boost::json::string(text);
    return absl::OkStatus();
  }

  void end_assistant() {
    if (assistant_.empty()) return;
    assistant_["role"] = "assistant";
    messages_.emplace_back(std::exchange(assistant_, {}));
  }

  JsonArray messages_;
  JsonObject assistant_;  // the message that is being made; empty: none
};

absl::StatusOr<JsonArray> items_of(const JsonObject& request) {
  const auto* input = find_member(request, "input");
  if (input == nullptr) return invalid("input", "missing");
  if (input->is_array()) return input->get_array();
  if (!input->is_string()) return invalid("input", "must be a string or an array of items");
  const JsonObject part{{"type", "input_text"}, {"text", *input}};
  return JsonArray{JsonObject{{"type", "message"}, {"role", "user"}, {"content", JsonArray{part}}}};
}

absl::Status add_tools(const JsonObject& request, JsonObject& chat) {
  const auto* tools = find_member(request, "tools");
  if (tools == nullptr) return absl::OkStatus();
  if (!tools->is_array()) return invalid("tools", "must be an array");
  JsonArray out;
  for (size_t i = 0; i < tools->get_array().size(); ++i) {
    const JsonValue& tool = tools->get_array()[i];
    const std::string where = absl::StrCat("tools[", i, "]");
    if (!tool.is_object()) return invalid(where, "must be an object");
    ASSIGN_OR_RETURN(const std::string type, text_member(tool.get_object(), "type", where));
    if (type != "function") {
      return not_built(where, absl::StrCat("tools of type ", excerpt(type, 64), " are not run here; send functions"));
    }
    JsonObject function;
    for (const char* name : {"name", "description", "parameters", "strict"}) {
      if (const auto* value = find_member(tool.get_object(), name); value != nullptr) function[name] = *value;
    }
    if (!function.contains("name")) return invalid(absl::StrCat(where, ".name"), "missing");
    out.push_back(JsonObject{{"type", "function"}, {"function", std::move(function)}});
  }
  chat["tools"] = std::move(out);
  return absl::OkStatus();
}

absl::Status add_tool_choice(const JsonObject& request, JsonObject& chat) {
  const auto* choice = find_member(request, "tool_choice");
  if (choice == nullptr) return absl::OkStatus();
  if (!choice->is_object()) {
    chat["tool_choice"] = *choice;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string type, text_member(choice->get_object(), "type", "tool_choice"));
  if (type != "function") return not_built("tool_choice", "choices of other tools than functions are not built");
  const auto* name = find_member(choice->get_object(), "name");
  if (name == nullptr) return invalid("tool_choice.name", "missing");
  chat["tool_choice"] = JsonObject{{"type", "function"}, {"function", JsonObject{{"name", *name}}}};
  return absl::OkStatus();
}

absl::Status add_text(const JsonObject& request, JsonObject& chat) {
  const auto* text = find_member(request, "text");
  if (text == nullptr) return absl::OkStatus();
  if (!text->is_object()) return invalid("text", "must be an object");
  const auto* format = find_member(text->get_object(), "format");
  if (format == nullptr) return absl::OkStatus();
  if (!format->is_object()) return invalid("text.format", "must be an object");
  ASSIGN_OR_RETURN(const std::string type, text_member(format->get_object(), "type", "text.format"));
  if (type != "json_schema") {
    chat["response_format"] = *format;
    return absl::OkStatus();
  }
  JsonObject schema = format->get_object();
  schema.erase("type");
  chat["response_format"] = JsonObject{{"type", type}, {"json_schema", std::move(schema)}};
  return absl::OkStatus();
}

absl::Status add_reasoning(const JsonObject& request, JsonObject& chat) {
  const auto* reasoning = find_member(request, "reasoning");
  if (reasoning == nullptr) return absl::OkStatus();
  if (!reasoning->is_object()) return invalid("reasoning", "must be an object");
  if (const auto* effort = find_member(reasoning->get_object(), "effort"); effort != nullptr)
    chat["reasoning_effort"] = *effort;
  return absl::OkStatus();
}

// Fields that are handed on under the same name.
constexpr std::array<std::string_view, 24> kSame = {"model",
                                                    "stream",
                                                    "temperature",
                                                    "top_p",
                                                    "top_k",
                                                    "min_p",
                                                    "seed",
                                                    "stop",
                                                    "stop_token_ids",
                                                    "presence_penalty",
                                                    "frequency_penalty",
                                                    "repetition_penalty",
                                                    "logit_bias",
                                                    "priority",
                                                    "cache_salt",
                                                    "chat_template_kwargs",
                                                    "include_reasoning",
                                                    "parallel_tool_calls",
                                                    "skip_special_tokens",
                                                    "ignore_eos",
                                                    "structured_outputs",
                                                    "request_id",
                                                    "min_tokens",
                                                    "thinking_token_budget"};
// Fields that are read here, or that ask nothing of this server.
constexpr std::array<std::string_view, 18> kKnown = {"input",
                                                     "instructions",
                                                     "tools",
                                                     "tool_choice",
                                                     "text",
                                                     "reasoning",
                                                     "store",
                                                     "metadata",
                                                     "user",
                                                     "service_tier",
                                                     "include",
                                                     "max_output_tokens",
                                                     "truncation",
                                                     "safety_identifier",
                                                     "previous_response_id",
                                                     "max_tool_calls",
                                                     "prompt_cache_key",
                                                     "stream_options"};

// Fields that ask for what is not there, unless they have the value on the right.
struct RefusedField {
  std::string_view name, neutral, why;
};
constexpr RefusedField kRefusedFields[] = {
    {"background", "", "answers in the background are not built yet"},
    {"conversation", "", "not built yet; previous_response_id is"},
    {"prompt", "", "prompts are not stored here"},
    {"truncation", "\"disabled\"", "items are never dropped; send fewer"},
    {"top_logprobs", "0", "not built yet; chat completions have it"},
    {"context_management", "", "not built yet"},
};

// What else is included has no source here: no files, searches or encrypted reasoning.
absl::Status check_include(const JsonObject& request) {
  const auto* include = find_member(request, "include");
  if (include == nullptr) return absl::OkStatus();
  if (!include->is_array()) return invalid("include", "must be an array");
  for (const JsonValue& one : include->get_array()) {
    if (one == "message.output_text.logprobs") return not_built("include", "logprobs are not built yet; chat has them");
  }
  return absl::OkStatus();
}

template <typename List>
bool contains(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

absl::Status take_fields(const JsonObject& request, ChatOfResponses& out) {
  for (const RefusedField& row : kRefusedFields) {
    const auto* value = find_member(request, row.name);
    if (value != nullptr && !asks_nothing(*value, row.neutral)) return not_built(row.name, row.why);
  }
  for (const auto& member : request) {
    const std::string_view name(member.key().data(), member.key().size());
    const bool is_refused = std::any_of(std::begin(kRefusedFields), std::end(kRefusedFields),
                                        [&](const RefusedField& row) { return row.name == name; });
    if (contains(kSame, name)) {
      out.chat[name] = member.value();
    } else if (!contains(kKnown, name) && !is_refused && out.unknown.size() < kUnknownFieldsMax) {
      out.unknown.push_back(excerpt(name, kUnknownFieldBytesMax));
    }
  }
  RETURN_IF_ERROR(check_include(request));
  if (const auto* most = find_member(request, "max_output_tokens"); most != nullptr) out.chat["max_tokens"] = *most;
  if (const auto* store = find_member(request, "store"); store != nullptr) {
    if (!store->is_bool()) return invalid("store", "must be true or false");
    out.store = store->get_bool();
  }
  return absl::OkStatus();
}

// What the response repeats, with the values of absent fields.
JsonObject echoed_members(const JsonObject& request, bool store) {
  JsonObject out{{"instructions", nullptr},
                 {"max_output_tokens", nullptr},
                 {"metadata", JsonObject{}},
                 {"parallel_tool_calls", true},
                 {"previous_response_id", nullptr},
                 {"reasoning", JsonObject{{"effort", nullptr}, {"summary", nullptr}}},
                 {"temperature", nullptr},
                 {"text", JsonObject{{"format", JsonObject{{"type", "text"}}}}},
                 {"tool_choice", "auto"},
                 {"tools", JsonArray{}},
                 {"top_p", nullptr},
                 {"truncation", "disabled"},
                 {"user", nullptr}};
  for (auto& member : out) {
    if (const auto* sent = find_member(request, {member.key().data(), member.key().size()}); sent != nullptr) {
      member.value() = *sent;
    }
  }
  out["store"] = store;
  return out;
}

}  // namespace

absl::StatusOr<std::string> previous_response(const JsonValue& request) {
  if (!request.is_object()) return invalid("", "the body must be an object");
  return text_member(request.get_object(), "previous_response_id", "");
}

absl::StatusOr<ChatOfResponses> chat_of_responses(const JsonValue& request, JsonArray history) {
  const JsonObject& object = request.get_object();
  ChatOfResponses out;
  RETURN_IF_ERROR(take_fields(object, out));
  ASSIGN_OR_RETURN(out.input, items_of(object));
  Conversation conversation(std::move(history));
  for (size_t i = 0; i < out.input.size(); ++i) {
    RETURN_IF_ERROR(conversation.add(out.input[i], absl::StrCat("input[", i, "]")));
  }
  out.messages = conversation.take();
  ASSIGN_OR_RETURN(const std::string instructions, text_member(object, "instructions", ""));
  JsonArray messages;
  if (!instructions.empty()) {
    messages.push_back(JsonObject{{"role", "system"}, {"content", boost::json::string(instructions)}});
  }
  messages.insert(messages.end(), out.messages.begin(), out.messages.end());
  out.chat["messages"] = std::move(messages);
  RETURN_IF_ERROR(add_tools(object, out.chat));
  RETURN_IF_ERROR(add_tool_choice(object, out.chat));
  RETURN_IF_ERROR(add_text(object, out.chat));
  RETURN_IF_ERROR(add_reasoning(object, out.chat));
  out.echoed = echoed_members(object, out.store);
  return out;
}

}  // namespace polymath::api
