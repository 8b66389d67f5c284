#include "api/chat_prompt.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {
namespace {

// chat_template_kwargs must not set these: a kwarg `messages` could replace what a gateway has checked.
constexpr std::array<std::string_view, 7> kReserved = {
    "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize"};

bool is_reserved(std::string_view name) {
  return name.ends_with("_token") || std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
}

std::string at(size_t index) { return absl::StrCat("messages[", index, "]"); }

// Accepts parts of type text or refusal. The error names any other type.
absl::Status check_parts(const base::JsonArray& parts, const std::string& where) {
  for (const base::JsonValue& part : parts) {
    if (part.is_string()) continue;
    if (!part.is_object()) return invalid(where, "each part of the content must be an object");
    const auto* type = part.get_object().if_contains("type");
    if (type == nullptr || !type->is_string()) return invalid(where, "each part of the content needs a type");
    const auto& name = type->get_string();
    if (name != "text" && name != "refusal") {
      return invalid(where, absl::StrCat("content of type ", std::string(name.subview(0, 64)),
                                         " is not supported: this model reads text alone"));
    }
    const auto* text = part.get_object().if_contains(name);
    if (text == nullptr || !text->is_string()) return invalid(where, "a part of type text needs a text");
  }
  return absl::OkStatus();
}

// Clients send a call's arguments as JSON text; templates expect an object.
void open_tool_arguments(base::JsonObject& message) {
  auto* calls = message.if_contains("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (base::JsonValue& call : calls->get_array()) {
    if (!call.is_object()) continue;
    auto* function = call.get_object().if_contains("function");
    if (function == nullptr || !function->is_object()) continue;
    auto* arguments = function->get_object().if_contains("arguments");
    if (arguments == nullptr || !arguments->is_string()) continue;
    const auto& text = arguments->get_string();
    auto parsed = base::parse_json({text.data(), text.size()}, {});
    if (parsed.ok() && parsed->is_object()) *arguments = *std::move(parsed);
  }
}

absl::StatusOr<base::JsonArray> parse_messages(const base::JsonValue& request, const ApiLimits& limits) {
  const auto* member = request.get_object().if_contains("messages");
  if (member == nullptr || !member->is_array()) return invalid("messages", "must be an array of messages");
  base::JsonArray messages = member->get_array();
  if (messages.empty()) return invalid("messages", "must hold at least one message");
  if (messages.size() > static_cast<size_t>(limits.messages_max)) {
    return invalid("messages", absl::StrCat("at most ", limits.messages_max, " messages"));
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) return invalid(at(i), "must be an object");
    base::JsonObject& message = messages[i].get_object();
    const auto* role = message.if_contains("role");
    if (role == nullptr || !role->is_string()) return invalid(at(i), "needs a role");
    const auto* content = message.if_contains("content");
    if (content != nullptr && content->is_array()) {
      RETURN_IF_ERROR(check_parts(content->get_array(), at(i)));
    } else if (content != nullptr && !content->is_string() && !content->is_null()) {
      return invalid(at(i), "content must be a string or an array of parts");
    }
    open_tool_arguments(message);
  }
  return messages;
}

absl::Status parse_tools(const base::JsonObject& request, const ApiLimits& limits, ChatPrompt& chat) {
  if (const auto* choice = request.if_contains("tool_choice"); choice != nullptr && !choice->is_null()) {
    if (*choice != "none" && *choice != "auto") {
      if (*choice == "required" || choice->is_object()) {
        return not_built("tool_choice", "forced tool calls are not built yet; none and auto are");
      }
      return invalid("tool_choice", "must be none or auto");
    }
  }
  const auto* tools = request.if_contains("tools");
  if (tools == nullptr || tools->is_null()) return absl::OkStatus();
  if (!tools->is_array()) return invalid("tools", "must be an array");
  if (tools->get_array().size() > static_cast<size_t>(limits.tools_max)) {
    return invalid("tools", absl::StrCat("at most ", limits.tools_max, " tools"));
  }
  for (const base::JsonValue& tool : tools->get_array()) {
    if (!tool.is_object()) return invalid("tools", "each tool must be an object");
  }
  if (!tools->get_array().empty()) chat.tools = *tools;
  return absl::OkStatus();
}

absl::Status parse_kwargs(const base::JsonObject& request, ChatPrompt& chat) {
  if (const auto* effort = request.if_contains("reasoning_effort"); effort != nullptr && !effort->is_null()) {
    if (!effort->is_string()) return invalid("reasoning_effort", "must be a string");
    chat.kwargs["reasoning_effort"] = *effort;
  }
  const auto* kwargs = request.if_contains("chat_template_kwargs");
  if (kwargs == nullptr || kwargs->is_null()) return absl::OkStatus();
  if (!kwargs->is_object()) return invalid("chat_template_kwargs", "must be an object");
  for (const auto& member : kwargs->get_object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (is_reserved(key)) {
      return invalid("chat_template_kwargs", absl::StrCat("must not set ", std::string(key)));
    }
    chat.kwargs[member.key()] = member.value();
  }
  return absl::OkStatus();
}

// REQUIRES: check_parts accepted the part.
const boost::json::string& text_of(const base::JsonValue& part) {
  if (part.is_string()) return part.get_string();
  const base::JsonObject& object = part.get_object();
  return object.at(object.at("type").get_string()).get_string();
}

base::JsonObject text_part(const boost::json::string& text) { return {{"type", "text"}, {"text", text}}; }

base::JsonArray as_text_parts(const base::JsonArray& parts) {
  base::JsonArray out;
  for (const base::JsonValue& part : parts) out.push_back(text_part(text_of(part)));
  return out;
}

boost::json::string joined_lines(const base::JsonArray& parts) {
  boost::json::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append("\n");
    out.append(text_of(parts[i]));
  }
  return out;
}

// Brings each message's content into the form that the template reads: a list of parts, or one string.
base::JsonArray shape_content(const base::JsonArray& messages, bool as_parts) {
  base::JsonArray out = messages;
  for (base::JsonValue& message : out) {
    auto* content = message.get_object().if_contains("content");
    if (content == nullptr) continue;
    if (as_parts && content->is_string()) {
      *content = base::JsonArray{text_part(content->get_string())};
    } else if (as_parts && content->is_array()) {
      *content = as_text_parts(content->get_array());
    } else if (content->is_array()) {
      *content = joined_lines(content->get_array());
    }
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Removes what the template wrote after the last message's text, so that the answer continues that text.
absl::StatusOr<std::string> cut_after_final_message(std::string text, const base::JsonArray& messages) {
  const base::JsonArray plain = shape_content(messages, false);
  const auto* content = plain.back().get_object().if_contains("content");
  if (content == nullptr || !content->is_string()) {
    return invalid("continue_final_message", "the last message has no text");
  }
  const std::string_view final_text = trimmed({content->get_string().data(), content->get_string().size()});
  const size_t found = text.rfind(final_text);
  if (final_text.empty() || found == std::string::npos) {
    return invalid("continue_final_message", "the template does not show the last message's text unchanged");
  }
  text.resize(found + final_text.size());
  return text;
}

}  // namespace

absl::StatusOr<ChatPrompt> parse_chat_prompt(const base::JsonValue& request, const ApiLimits& limits,
                                             bool trust_template) {
  base::JsonReader j(request);
  RETURN_IF_ERROR(j.status());
  const base::JsonObject& object = request.get_object();
  ChatPrompt chat;
  ASSIGN_OR_RETURN(chat.messages, parse_messages(request, limits));
  RETURN_IF_ERROR(parse_tools(object, limits, chat));
  RETURN_IF_ERROR(parse_kwargs(object, chat));
  if (const auto* documents = j.find("documents"); documents != nullptr) {
    if (!documents->is_array()) return invalid("documents", "must be an array");
    chat.documents = *documents;
  }
  chat.continue_final_message = j.b("continue_final_message", false);
  chat.add_generation_prompt = j.b("add_generation_prompt", !chat.continue_final_message);
  if (j.has("chat_template")) chat.chat_template = j.s("chat_template");
  RETURN_IF_ERROR(name_field(j.status()));
  if (chat.chat_template.has_value() && !trust_template) {
    return invalid("chat_template", "a request's own template is refused (--trust-request-chat-template permits it)");
  }
  if (chat.continue_final_message && chat.add_generation_prompt) {
    return invalid("continue_final_message", "excludes add_generation_prompt");
  }
  return chat;
}

absl::StatusOr<std::string> render_chat(const ServedModel& model, const ChatPrompt& chat) {
  RETURN_IF_ERROR(need_tokenizer(model, "messages"));
  bool as_parts = model.content_as_parts;
  std::optional<text::ChatTemplate> own;
  if (chat.chat_template.has_value()) {
    auto parsed = text::ChatTemplate::parse(*chat.chat_template, {});
    if (!parsed.ok()) return invalid("chat_template", std::string(parsed.status().message()));
    own.emplace(*std::move(parsed));
    as_parts = template_wants_parts(*chat.chat_template);
  } else if (model.chat_template == nullptr) {
    return invalid("messages", "this model has no chat template; --chat-template gives it one");
  }
  base::JsonObject variables = model.template_variables;
  for (const auto& member : chat.kwargs) variables[member.key()] = member.value();
  variables["messages"] = shape_content(chat.messages, as_parts);
  variables["add_generation_prompt"] = chat.add_generation_prompt;
  variables["tools"] = chat.tools;
  variables["documents"] = chat.documents;
  const text::ChatTemplate& renderer = own.has_value() ? *own : *model.chat_template;
  auto text = renderer.render(variables, static_cast<int64_t>(std::time(nullptr)));
  if (!text.ok()) {
    // The template called raise_exception, or the messages hit a limit of the renderer.
    return invalid("messages", std::string(text.status().message()));
  }
  if (!chat.continue_final_message) return text;
  return cut_after_final_message(*std::move(text), chat.messages);
}

}  // namespace polymath::api
