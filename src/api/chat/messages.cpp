#include "api/chat/messages.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {
namespace {

// Part types and the members that hold their text, in order. A text may itself be a list of parts.
struct TextPart {
  std::string_view type;
  std::array<std::string_view, 2> members;
};
constexpr TextPart kTextParts[] = {
    {"text", {"text", ""}},       {"input_text", {"text", ""}},       {"output_text", {"text", ""}},
    {"refusal", {"refusal", ""}}, {"thinking", {"thinking", "text"}}, {"reasoning", {"reasoning", "text"}},
};

// The three names of an assistant's thoughts, in the order of their rank.
constexpr std::array<const char*, 3> kReasoning = {"reasoning_content", "reasoning", "thinking"};

std::string at(size_t index) { return absl::StrCat("messages[", index, "]"); }

std::string_view to_view(const boost::json::string& s) { return {s.data(), s.size()}; }

base::JsonObject text_part(const boost::json::string& text) { return {{"type", "text"}, {"text", text}}; }

absl::StatusOr<const TextPart*> type_of(const base::JsonValue& part, const std::string& where) {
  if (!part.is_object()) return invalid(where, "each part of the content must be an object");
  const auto* type = part.get_object().if_contains("type");
  if (type == nullptr || !type->is_string()) return invalid(where, "each part of the content needs a type");
  const std::string_view name = to_view(type->get_string());
  for (const TextPart& row : kTextParts) {
    if (row.type == name) return &row;
  }
  return invalid(where,
                 absl::StrCat("content of type ", excerpt(name, 64), " is not supported: this model reads text alone"));
}

// Null: the part's text is null or absent.
const base::JsonValue* text_member(const base::JsonObject& part, const TextPart& row) {
  for (const std::string_view name : row.members) {
    const auto* value = name.empty() ? nullptr : part.if_contains(name);
    if (value != nullptr && !value->is_null()) return value;
  }
  return nullptr;
}

absl::StatusOr<base::JsonArray> regular_parts(const base::JsonArray& parts, const std::string& where) {
  base::JsonArray out;
  for (const base::JsonValue& part : parts) {
    if (part.is_string()) {
      out.push_back(text_part(part.get_string()));
      continue;
    }
    ASSIGN_OR_RETURN(const TextPart* row, type_of(part, where));
    const base::JsonValue* text = text_member(part.get_object(), *row);
    if (text == nullptr) continue;
    if (text->is_array()) {  // Mistral's thinking
      ASSIGN_OR_RETURN(const base::JsonArray inner, regular_parts(text->get_array(), where));
      out.push_back(text_part(joined_lines(inner)));
      continue;
    }
    if (!text->is_string())
      return invalid(where, absl::StrCat("a part of type ", std::string(row->type), " needs a text"));
    out.push_back(text_part(text->get_string()));
  }
  return out;
}

absl::Status regular_content(base::JsonObject& message, const std::string& where) {
  base::JsonValue& content = message["content"];
  if (content.is_null()) {
    content = "";
  } else if (content.is_array()) {
    ASSIGN_OR_RETURN(content, regular_parts(content.get_array(), where));
  } else if (!content.is_string()) {
    return invalid(where, "content must be a string or an array of parts");
  }
  return absl::OkStatus();
}

absl::Status regular_calls(base::JsonObject& message, const std::string& where) {
  const auto* calls = message.if_contains("tool_calls");
  if (calls == nullptr) return absl::OkStatus();
  if (!calls->is_array()) return invalid(where, "tool_calls must be an array");
  for (const base::JsonValue& call : calls->get_array()) {
    if (!call.is_object()) return invalid(where, "each of tool_calls must be an object");
  }
  if (calls->get_array().empty()) message.erase("tool_calls");
  return absl::OkStatus();
}

// gpt-oss refuses `thinking` beside calls and a content, which it shows in its place.
bool may_have_thinking(const base::JsonObject& message) {
  if (!message.contains("tool_calls")) return true;
  return base::says_nothing(message.at("content"));
}

void regular_reasoning(base::JsonObject& message) {
  const base::JsonValue* found = nullptr;
  for (const char* name : kReasoning) {
    const auto* value = message.if_contains(name);
    if (found == nullptr && value != nullptr && value->is_string()) found = value;
  }
  if (found == nullptr) return;
  const base::JsonValue reasoning = *found;
  const bool with_thinking = may_have_thinking(message);
  for (const char* name : kReasoning) {
    if (with_thinking || std::string_view(name) != "thinking") message.emplace(name, reasoning);  // if it is absent
  }
}

base::JsonObject without_nulls(const base::JsonObject& message) {
  base::JsonObject out;
  for (const auto& member : message) {
    if (!member.value().is_null()) out.emplace(member.key(), member.value());
  }
  return out;
}

absl::StatusOr<base::JsonObject> regular_message(const base::JsonValue& sent, const std::string& where) {
  if (!sent.is_object()) return invalid(where, "must be an object");
  base::JsonObject message = without_nulls(sent.get_object());
  const auto* role = message.if_contains("role");
  if (role == nullptr || !role->is_string()) return invalid(where, "needs a role");
  const bool is_assistant = *role == "assistant";
  RETURN_IF_ERROR(regular_content(message, where));
  RETURN_IF_ERROR(regular_calls(message, where));
  if (is_assistant) regular_reasoning(message);
  return message;
}

absl::Status check_tool(const base::JsonValue& tool, const std::string& where) {
  if (!tool.is_object()) return invalid("tools", absl::StrCat(where, " must be an object"));
  const std::string field = where + ".function";
  const auto* function = tool.get_object().if_contains("function");
  if (function == nullptr || function->is_null()) {
    const bool flat = tool.get_object().contains("name");
    return invalid(field, flat ? "missing: a tool of the Responses API has its name here, not beside type" : "missing");
  }
  if (!function->is_object()) return invalid(field, "must be an object");
  const auto* name = function->get_object().if_contains("name");
  if (name == nullptr || !name->is_string()) return invalid(field + ".name", "must be a string");
  return absl::OkStatus();
}

}  // namespace

boost::json::string joined_lines(const base::JsonArray& parts) {
  boost::json::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append("\n");
    out.append(parts[i].get_object().at("text").get_string());
  }
  return out;
}

absl::StatusOr<base::JsonArray> regular_messages(const base::JsonObject& request, const ApiLimits& limits) {
  const auto* member = request.if_contains("messages");
  if (member == nullptr || !member->is_array()) return invalid("messages", "must be an array of messages");
  const base::JsonArray& sent = member->get_array();
  if (sent.empty()) return invalid("messages", "must hold at least one message");
  if (sent.size() > static_cast<size_t>(limits.messages_max)) {
    return invalid("messages", absl::StrCat("at most ", limits.messages_max, " messages"));
  }
  base::JsonArray messages;
  messages.reserve(sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    ASSIGN_OR_RETURN(base::JsonObject message, regular_message(sent[i], at(i)));
    messages.push_back(std::move(message));
  }
  return messages;
}

absl::StatusOr<base::JsonValue> checked_tools(const base::JsonObject& request, const ApiLimits& limits) {
  const auto* tools = request.if_contains("tools");
  if (tools == nullptr || tools->is_null()) return base::JsonValue(nullptr);
  if (!tools->is_array()) return invalid("tools", "must be an array");
  const base::JsonArray& list = tools->get_array();
  if (list.size() > static_cast<size_t>(limits.tools_max)) {
    return invalid("tools", absl::StrCat("at most ", limits.tools_max, " tools"));
  }
  for (size_t i = 0; i < list.size(); ++i) RETURN_IF_ERROR(check_tool(list[i], absl::StrCat("tools[", i, "]")));
  return list.empty() ? base::JsonValue(nullptr) : *tools;
}

}  // namespace polymath::api
