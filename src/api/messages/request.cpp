#include "api/messages/request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/openai/fields.h"
#include "api/request/members.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;

std::string_view view(const boost::json::string& text) { return {text.data(), text.size()}; }

absl::StatusOr<std::string> type_of(const JsonValue& block, const std::string& where) {
  if (!block.is_object()) return invalid(where, "must be an object");
  return text_member(block.get_object(), "type", where);
}

// Texts of a string or of text blocks, joined by newlines.
absl::StatusOr<std::string> joined_text(const JsonValue& content, const std::string& where) {
  if (content.is_string()) return std::string(view(content.get_string()));
  if (!content.is_array()) return invalid(where, "must be a string or an array of blocks");
  std::string out;
  for (size_t i = 0; i < content.get_array().size(); ++i) {
    const JsonValue& block = content.get_array()[i];
    const std::string at = absl::StrCat(where, "[", i, "]");
    ASSIGN_OR_RETURN(const std::string type, type_of(block, at));
    if (type != "text")
      return invalid(at, absl::StrCat("blocks of type ", excerpt(type, 64), " are not supported here"));
    ASSIGN_OR_RETURN(const std::string text, text_member(block.get_object(), "text", at));
    out += (out.empty() ? "" : "\n") + text;
  }
  return out;
}

// What one message becomes: the answers of tools come first, each a message of its own.
struct Parts {
  JsonArray results;
  std::string text, reasoning;
  bool has_text = false;
  JsonArray calls;
};

void add_text(Parts& out, std::string_view text) {
  out.text += (out.has_text ? "\n" : "") + std::string(text);
  out.has_text = true;
}

absl::Status add_result(const JsonObject& block, const std::string& where, Parts& out) {
  ASSIGN_OR_RETURN(const std::string id, text_member(block, "tool_use_id", where));
  if (id.empty()) return invalid(absl::StrCat(where, ".tool_use_id"), "missing");
  std::string content;
  if (const auto* found = find_member(block, "content"); found != nullptr) {
    ASSIGN_OR_RETURN(content, joined_text(*found, absl::StrCat(where, ".content")));
  }
  out.results.push_back(JsonObject{{"role", "tool"}, {"tool_call_id", id}, {"content", boost::json::string(content)}});
  return absl::OkStatus();
}

absl::Status add_call(const JsonObject& block, const std::string& where, Parts& out) {
  ASSIGN_OR_RETURN(const std::string id, text_member(block, "id", where));
  ASSIGN_OR_RETURN(const std::string name, text_member(block, "name", where));
  if (name.empty()) return invalid(absl::StrCat(where, ".name"), "missing");
  const auto* input = find_member(block, "input");
  if (input != nullptr && !input->is_object()) return invalid(absl::StrCat(where, ".input"), "must be an object");
  const JsonObject function{{"name", name}, {"arguments", input == nullptr ? "{}" : base::to_text(*input)}};
  out.calls.push_back(JsonObject{{"id", id}, {"type", "function"}, {"function", function}});
  return absl::OkStatus();
}

absl::Status add_block(const JsonValue& block, const std::string& where, bool is_assistant, Parts& out) {
  ASSIGN_OR_RETURN(const std::string type, type_of(block, where));
  const JsonObject& object = block.get_object();
  if (type == "text") {
    ASSIGN_OR_RETURN(const std::string text, text_member(object, "text", where));
    add_text(out, text);
    return absl::OkStatus();
  }
  if (type == "tool_result" && !is_assistant) return add_result(object, where, out);
  if (type == "tool_use" && is_assistant) return add_call(object, where, out);
  if (type == "thinking" && is_assistant) {
    ASSIGN_OR_RETURN(const std::string thinking, text_member(object, "thinking", where));
    out.reasoning += thinking;
    return absl::OkStatus();
  }
  if (type == "redacted_thinking" && is_assistant) return absl::OkStatus();
  return invalid(where,
                 absl::StrCat("blocks of type ", excerpt(type, 64), " are not supported: this model reads text"));
}

absl::Status add_message(const JsonValue& message, const std::string& where, JsonArray& out) {
  if (!message.is_object()) return invalid(where, "must be an object");
  const JsonObject& object = message.get_object();
  ASSIGN_OR_RETURN(const std::string role, text_member(object, "role", where));
  if (role != "user" && role != "assistant" && role != "system") {
    return invalid(absl::StrCat(where, ".role"), "must be user, assistant or system");
  }
  const auto* content = find_member(object, "content");
  if (content == nullptr) return invalid(absl::StrCat(where, ".content"), "missing");
  Parts parts;
  if (content->is_string()) {
    add_text(parts, view(content->get_string()));
  } else if (content->is_array()) {
    for (size_t i = 0; i < content->get_array().size(); ++i) {
      RETURN_IF_ERROR(
          add_block(content->get_array()[i], absl::StrCat(where, ".content[", i, "]"), role == "assistant", parts));
    }
  } else {
    return invalid(absl::StrCat(where, ".content"), "must be a string or an array of blocks");
  }
  const bool only_results = !parts.results.empty() && !parts.has_text;
  for (JsonValue& result : parts.results) out.push_back(std::move(result));
  if (only_results) return absl::OkStatus();
  JsonObject made{{"role", role}, {"content", boost::json::string(parts.text)}};
  if (!parts.reasoning.empty()) made["reasoning_content"] = boost::json::string(parts.reasoning);
  if (!parts.calls.empty()) made["tool_calls"] = std::move(parts.calls);
  out.push_back(std::move(made));
  return absl::OkStatus();
}

absl::StatusOr<JsonArray> messages_of(const JsonObject& request) {
  JsonArray out;
  if (const auto* system = find_member(request, "system"); system != nullptr) {
    ASSIGN_OR_RETURN(const std::string text, joined_text(*system, "system"));
    if (!text.empty()) out.push_back(JsonObject{{"role", "system"}, {"content", boost::json::string(text)}});
  }
  const auto* messages = find_member(request, "messages");
  if (messages == nullptr || !messages->is_array()) return invalid("messages", "must be an array");
  const JsonArray& list = messages->get_array();
  for (size_t i = 0; i < list.size(); ++i)
    RETURN_IF_ERROR(add_message(list[i], absl::StrCat("messages[", i, "]"), out));
  return out;
}

// A last message of the assistant's words: the answer goes on where they end.
bool goes_on(const JsonArray& messages) {
  if (messages.empty()) return false;
  const JsonObject& last = messages.back().get_object();
  return last.at("role") == "assistant" && !last.contains("tool_calls") && !last.at("content").get_string().empty();
}

absl::Status add_tools(const JsonObject& request, JsonObject& chat) {
  const auto* tools = find_member(request, "tools");
  if (tools == nullptr) return absl::OkStatus();
  if (!tools->is_array()) return invalid("tools", "must be an array");
  JsonArray out;
  for (size_t i = 0; i < tools->get_array().size(); ++i) {
    const JsonValue& tool = tools->get_array()[i];
    const std::string where = absl::StrCat("tools[", i, "]");
    ASSIGN_OR_RETURN(const std::string type, type_of(tool, where));
    if (!type.empty() && type != "custom") {
      return invalid(where, absl::StrCat("tools of type ", excerpt(type, 64), " run at Anthropic; send custom tools"));
    }
    const JsonObject& object = tool.get_object();
    ASSIGN_OR_RETURN(const std::string name, text_member(object, "name", where));
    if (name.empty()) return invalid(absl::StrCat(where, ".name"), "missing");
    JsonObject function{{"name", name}};
    if (const auto* about = find_member(object, "description"); about != nullptr) function["description"] = *about;
    if (const auto* schema = find_member(object, "input_schema"); schema != nullptr) function["parameters"] = *schema;
    if (const auto* strict = find_member(object, "strict"); strict != nullptr) function["strict"] = *strict;
    out.push_back(JsonObject{{"type", "function"}, {"function", std::move(function)}});
  }
  chat["tools"] = std::move(out);
  return absl::OkStatus();
}

absl::Status add_tool_choice(const JsonObject& request, JsonObject& chat) {
  const auto* choice = find_member(request, "tool_choice");
  if (choice == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string type, type_of(*choice, "tool_choice"));
  const JsonObject& object = choice->get_object();
  if (type == "auto" || type == "none") {
    chat["tool_choice"] = type;
  } else if (type == "any") {
    chat["tool_choice"] = "required";
  } else if (type == "tool") {
    ASSIGN_OR_RETURN(const std::string name, text_member(object, "name", "tool_choice"));
    chat["tool_choice"] = JsonObject{{"type", "function"}, {"function", JsonObject{{"name", name}}}};
  } else {
    return invalid("tool_choice.type", "must be auto, any, tool or none");
  }
  const auto* alone = find_member(object, "disable_parallel_tool_use");
  if (alone != nullptr && *alone == true) chat["parallel_tool_calls"] = false;
  return absl::OkStatus();
}

constexpr std::array<std::string_view, 4> kThinking = {"enabled", "disabled", "adaptive", "between_tools"};

// What templates of thinking models call the switch: Qwen3 and GLM, DeepSeek V3.1.
absl::Status add_thinking(const JsonObject& request, JsonObject& chat) {
  JsonObject kwargs;
  if (const auto* sent = find_member(request, "chat_template_kwargs"); sent != nullptr) {
    if (!sent->is_object()) return invalid("chat_template_kwargs", "must be an object");
    kwargs = sent->get_object();
  }
  if (const auto* thinking = find_member(request, "thinking"); thinking != nullptr) {
    ASSIGN_OR_RETURN(const std::string type, type_of(*thinking, "thinking"));
    if (std::find(kThinking.begin(), kThinking.end(), type) == kThinking.end()) {
      return invalid("thinking.type", "must be enabled, disabled, adaptive or between_tools");
    }
    for (const char* name : {"enable_thinking", "thinking"}) {
      if (!kwargs.contains(name)) kwargs[name] = type != "disabled";
    }
    if (const auto* budget = find_member(thinking->get_object(), "budget_tokens");
        budget != nullptr && type != "disabled") {
      const std::optional<int64_t> tokens = base::whole_number(*budget);
      if (tokens.value_or(-1) < 0) return invalid("thinking.budget_tokens", "must be an integer of at least 0");
      chat["thinking_token_budget"] = *tokens;
    }
    const auto* display = find_member(thinking->get_object(), "display");
    if (type == "disabled" || (display != nullptr && *display == "omitted")) chat["include_reasoning"] = false;
  }
  if (!kwargs.empty()) chat["chat_template_kwargs"] = std::move(kwargs);
  return absl::OkStatus();
}

absl::Status add_output_config(const JsonObject& request, JsonObject& chat) {
  const auto* config = find_member(request, "output_config");
  if (config == nullptr) return absl::OkStatus();
  if (!config->is_object()) return invalid("output_config", "must be an object");
  if (const auto* effort = find_member(config->get_object(), "effort"); effort != nullptr)
    chat["reasoning_effort"] = *effort;
  const auto* format = find_member(config->get_object(), "format");
  if (format == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string type, type_of(*format, "output_config.format"));
  const auto* schema = find_member(format->get_object(), "schema");
  if (type != "json_schema" || schema == nullptr) {
    return invalid("output_config.format", "must be of type json_schema, with a schema");
  }
  const JsonObject json{{"name", "answer"}, {"schema", *schema}, {"strict", true}};
  chat["response_format"] = JsonObject{{"type", "json_schema"}, {"json_schema", json}};
  return absl::OkStatus();
}

struct Renamed {
  std::string_view from, to;
};
// Fields that are handed on.
constexpr Renamed kSame[] = {
    {"model", "model"},   {"max_tokens", "max_tokens"},   {"stop_sequences", "stop"},
    {"stream", "stream"}, {"temperature", "temperature"}, {"top_p", "top_p"},
    {"top_k", "top_k"},   {"cache_salt", "cache_salt"},   {"priority", "priority"},
    {"seed", "seed"},
};
// Fields that are read here, or that ask nothing of this server.
constexpr std::array<std::string_view, 18> kKnown = {"messages",
                                                     "system",
                                                     "tools",
                                                     "tool_choice",
                                                     "thinking",
                                                     "output_config",
                                                     "chat_template_kwargs",
                                                     "metadata",
                                                     "service_tier",
                                                     "betas",
                                                     "container",
                                                     "inference_geo",
                                                     "context_management",
                                                     "cache_control",
                                                     "speed",
                                                     "diagnostics",
                                                     "user_profile_id",
                                                     "workspace_id"};

}  // namespace

absl::StatusOr<ChatOfMessages> chat_of_messages(const JsonValue& request, bool counts) {
  if (!request.is_object()) return invalid("", "the body must be an object");
  const JsonObject& object = request.get_object();
  ChatOfMessages out;
  for (const auto& member : object) {
    const std::string_view name(member.key().data(), member.key().size());
    const auto* const same =
        std::find_if(std::begin(kSame), std::end(kSame), [&](const Renamed& row) { return row.from == name; });
    if (same != std::end(kSame)) {
      out.chat[same->to] = member.value();
    } else if (name == "mcp_servers") {
      if (!base::says_nothing(member.value())) return not_built(name, "servers of tools are not called from here");
    } else if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end() &&
               out.unknown.size() < kUnknownFieldsMax) {
      out.unknown.push_back(excerpt(name, kUnknownFieldBytesMax));
    }
  }
  if (!counts && find_member(object, "max_tokens") == nullptr) return invalid("max_tokens", "missing");
  ASSIGN_OR_RETURN(out.chat["messages"], messages_of(object));
  if (goes_on(out.chat["messages"].get_array())) out.chat["continue_final_message"] = true;
  RETURN_IF_ERROR(add_tools(object, out.chat));
  if (!counts) {
    RETURN_IF_ERROR(add_tool_choice(object, out.chat));
  }
  RETURN_IF_ERROR(add_thinking(object, out.chat));
  RETURN_IF_ERROR(add_output_config(object, out.chat));
  return out;
}

}  // namespace polymath::api
