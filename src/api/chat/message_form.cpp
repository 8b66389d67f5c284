#include "api/chat/message_form.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "api/chat/messages.h"
#include "api/chat/python_text.h"
#include "api/status.h"
#include "base/check.h"

namespace polymath::api {
namespace {

std::string_view role_of(const base::JsonValue& message) {
  const auto& role = message.get_object().at("role").get_string();
  return {role.data(), role.size()};
}

boost::json::string text_of(const base::JsonValue& content) {
  return content.is_array() ? joined_lines(content.get_array()) : content.get_string();
}

bool is_system(std::string_view role) { return role == "system" || role == "developer"; }

ContentForm form_of(std::string_view role, const MessageForm& form) {
  if (role == "tool") return form.tool;
  if (role == "assistant") return form.assistant;
  return is_system(role) ? form.system : form.user;
}

base::JsonArray one_part(boost::json::string text) {
  base::JsonArray out;
  out.push_back(base::JsonObject{{"type", "text"}, {"text", std::move(text)}});
  return out;
}

void fit_content(base::JsonValue& content, ContentForm form) {
  if (form == ContentForm::kText && content.is_array()) {
    content = text_of(content);
  } else if (form == ContentForm::kOnePart || (form == ContentForm::kParts && content.is_string())) {
    content = one_part(text_of(content));
  }
}

// False: the template wants an object, and they are JSON of another kind.
bool fit_arguments(base::JsonValue& arguments, bool as_text) {
  if (arguments.is_string() && arguments.get_string().empty()) arguments = base::JsonObject();
  if (arguments.is_string() && as_text) return true;
  if (arguments.is_string()) {
    const auto& text = arguments.get_string();
    auto parsed = base::parse_json({text.data(), text.size()}, {.mend_surrogates = true, .non_finite_numbers = true});
    // A call that was cut off is shown without its arguments, as in vLLM.
    arguments = parsed.ok() ? *std::move(parsed) : base::JsonValue(base::JsonObject());
  }
  if (arguments.is_null()) arguments = base::JsonObject();
  if (as_text) {
    arguments = boost::json::string(python_json(arguments));
    return true;
  }
  return arguments.is_object();
}

absl::Status fit_calls(base::JsonObject& message, size_t index, bool as_text) {
  auto* calls = message.if_contains("tool_calls");
  if (calls == nullptr) return absl::OkStatus();
  base::JsonArray& list = calls->get_array();
  for (size_t i = 0; i < list.size(); ++i) {
    auto* function = list[i].get_object().if_contains("function");
    if (function == nullptr || !function->is_object()) continue;
    if (fit_arguments(function->get_object()["arguments"], as_text)) continue;
    return invalid(absl::StrCat("messages[", index, "].tool_calls[", i, "].function.arguments"),
                   "must be an object, or an object's JSON text");
  }
  return absl::OkStatus();
}

const boost::json::string* text_member(const base::JsonObject& object, std::string_view name) {
  const auto* member = object.if_contains(name);
  return member == nullptr ? nullptr : member->if_string();
}

void note_calls(const base::JsonObject& message, absl::flat_hash_map<std::string, std::string>& names) {
  const auto* calls = message.if_contains("tool_calls");
  if (calls == nullptr) return;
  for (const base::JsonValue& call : calls->get_array()) {
    const auto* id = text_member(call.get_object(), "id");
    const auto* function = call.get_object().if_contains("function");
    if (id == nullptr || function == nullptr || !function->is_object()) continue;
    const auto* name = text_member(function->get_object(), "name");
    if (name != nullptr) names[std::string(*id)] = std::string(*name);
  }
}

// OpenAI's clients send the call's id alone.
void name_results(base::JsonArray& messages) {
  absl::flat_hash_map<std::string, std::string> names;  // of functions, by the id of their last call
  for (base::JsonValue& message : messages) {
    base::JsonObject& object = message.get_object();
    note_calls(object, names);
    const auto* id = text_member(object, "tool_call_id");
    if (role_of(message) != "tool" || object.contains("name") || id == nullptr) continue;
    const auto found = names.find(std::string(*id));
    if (found != names.end()) object["name"] = found->second;
  }
}

struct Systems {
  size_t count = 0;
  bool behind = false;  // one of them follows a message of another role
  bool mixed = false;   // system and developer
};

Systems count_systems(const base::JsonArray& messages) {
  Systems out;
  size_t developers = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!is_system(role_of(messages[i]))) continue;
    developers += role_of(messages[i]) == "developer" ? 1 : 0;
    out.behind = out.behind || i > out.count;
    ++out.count;
  }
  out.mixed = developers > 0 && developers < out.count;
  return out;
}

bool shows_all(const Systems& systems, const MessageForm& form) {
  if (systems.behind && !form.scattered_systems) return false;
  if (systems.mixed && !form.system_and_developer) return false;
  return systems.count < 2 || form.several_systems;
}

base::JsonArray join_systems(base::JsonArray messages) {
  base::JsonArray out;
  out.emplace_back(nullptr);  // the joined one
  boost::json::string text;
  for (base::JsonValue& message : messages) {
    if (!is_system(role_of(message))) {
      out.push_back(std::move(message));
      continue;
    }
    const boost::json::string more = text_of(message.at("content"));
    if (!text.empty() && !more.empty()) text.append("\n\n");
    text.append(more);
    if (out.front().is_null()) out.front() = std::move(message);
  }
  out.front().get_object()["content"] = std::move(text);
  return out;
}

}  // namespace

ContentFormat content_format(std::string_view name) {
  if (name == "string") return ContentFormat::kText;
  return name == "openai" ? ContentFormat::kParts : ContentFormat::kAuto;
}

absl::StatusOr<base::JsonArray> fit_messages(const base::JsonArray& messages, const MessageForm& form) {
  base::JsonArray out = messages;
  for (size_t i = 0; i < out.size(); ++i) {
    base::JsonObject& message = out[i].get_object();
    if (!form.shows_developer && role_of(out[i]) == "developer") message["role"] = "system";
    RETURN_IF_ERROR(fit_calls(message, i, form.arguments_as_text));
  }
  if (form.named_results) name_results(out);
  if (const Systems systems = count_systems(out); !shows_all(systems, form)) out = join_systems(std::move(out));
  for (base::JsonValue& message : out) {
    base::JsonObject& object = message.get_object();
    base::JsonValue& content = object["content"];
    if (form.null_beside_calls && object.contains("tool_calls") && text_of(content).empty()) {
      content = nullptr;
    } else {
      fit_content(content, form_of(role_of(message), form));
    }
  }
  return out;
}

}  // namespace polymath::api
