#include "api/chat/chat_prompt.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/chat/messages.h"
#include "api/chat/tool_declarations.h"
#include "api/chat/tool_request.h"
#include "api/status.h"

namespace polymath::api {
namespace {

// chat_template_kwargs must not set these: a kwarg `messages` could replace what a gateway has checked.
constexpr std::array<std::string_view, 7> kReserved = {
    "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize"};

bool is_reserved(std::string_view name) {
  return name.ends_with("_token") || std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
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

// Lies behind the last message's text while the template runs. A template that trims its contents removes the blanks,
// a run that none writes itself.
constexpr std::string_view kContinueMark = "xq-continue-here \t";
constexpr std::string_view kBlank = " \t\r\n\v\f";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Puts the mark behind the last text of the last message, which it returns.
std::string mark_final_message(base::JsonArray& messages) {
  base::JsonValue* content = &messages.back().get_object()["content"];
  if (content->is_array()) {
    base::JsonArray& parts = content->get_array();
    if (parts.empty()) parts.push_back(base::JsonObject{{"type", "text"}, {"text", ""}});
    content = &parts.back().get_object()["text"];
  }
  std::string text(content->get_string());
  content->get_string().append(kContinueMark);
  return text;
}

// Removes the mark and what follows it, so that the answer continues the text. Where the template trims contents, the
// text's last blanks go, too, but none of the template's own.
absl::Status cut_at_mark(std::string& text, std::string_view final_text) {
  const size_t found = text.rfind(trimmed(kContinueMark));
  if (found == std::string::npos || text.find(trimmed(final_text)) == std::string::npos) {
    return invalid("continue_final_message", "the template does not show the last message's text unchanged");
  }
  const bool keeps_blanks = std::string_view(text).substr(found).starts_with(kContinueMark);
  text.resize(found);
  const size_t last = final_text.find_last_not_of(kBlank);
  if (keeps_blanks || last == std::string_view::npos) return absl::OkStatus();
  const std::string_view blanks = final_text.substr(last + 1);
  if (text.ends_with(blanks)) text.resize(text.size() - blanks.size());
  return absl::OkStatus();
}

// Without what was generated behind the end of the text.
void cut_ranges(text::RenderedChat& chat) {
  const size_t size = chat.text.size();
  std::erase_if(chat.generated, [&](const text::ByteRange& range) { return range.begin >= size; });
  if (!chat.generated.empty()) chat.generated.back().end = std::min(chat.generated.back().end, size);
}

// strftime_now's clock shows local time.
int64_t local_now() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  if (localtime_r(&now, &local) == nullptr) return static_cast<int64_t>(now);
  return static_cast<int64_t>(timegm(&local));
}

std::string names_of(const ServedModel& model) {
  return absl::StrJoin(model.chat_templates, ", ", [](std::string* out, const ServedTemplate& t) { *out += t.name; });
}

// The request's own template, or the model's. `own` keeps the former.
absl::StatusOr<const ServedTemplate*> template_for(const ServedModel& model, const ChatPrompt& chat,
                                                   std::optional<ServedTemplate>& own) {
  if (model.chat_templates.empty() && !chat.chat_template.has_value()) {
    return invalid("messages", "this model has no chat template; --chat-template gives it one");
  }
  if (const auto* found = find_template(model, chat.chat_template.value_or(""), !chat.tools.is_null())) return found;
  if (!chat.chat_template.has_value()) {
    return invalid("chat_template", absl::StrCat("this model has no default template; name one of: ", names_of(model)));
  }
  if (!chat.trusts_template) {
    return invalid("chat_template",
                   absl::StrCat("a request's own template is refused (--trust-request-chat-template permits it); the "
                                "model's have these names: ",
                                names_of(model)));
  }
  auto made = make_template(model, {"", *chat.chat_template}, ContentFormat::kAuto);
  if (!made.ok()) return invalid("chat_template", std::string(made.status().message()));
  return &own.emplace(*std::move(made));
}

void set_tools(const base::JsonValue& tools, const MessageForm& form, base::JsonObject& variables) {
  variables["tools"] = form.declares_tools ? sorted_members(tools) : tools;
  if (!form.declares_tools || !tools.is_array()) return;
  auto declared = declare_tools(variables["tools"].get_array());
  if (declared.has_value()) variables["tools_ts_str"] = *std::move(declared);
}

}  // namespace

absl::StatusOr<ChatPrompt> parse_chat_prompt(const base::JsonValue& request, const ApiLimits& limits,
                                             bool trust_template) {
  base::JsonReader j(request);
  RETURN_IF_ERROR(j.status());
  const base::JsonObject& object = request.get_object();
  ChatPrompt chat;
  ASSIGN_OR_RETURN(chat.messages, regular_messages(object, limits));
  ASSIGN_OR_RETURN(ToolRequest tools, parse_tool_request(object, limits));
  chat.tools = std::move(tools.tools);
  chat.parallel_calls = tools.parallel;
  chat.legacy_functions = tools.legacy;
  chat.force_call = tools.forced;
  chat.forced_function = std::move(tools.function);
  chat.include_reasoning = j.b("include_reasoning", true);
  if (j.has("thinking_token_budget")) chat.thinking_budget = j.i("thinking_token_budget");
  RETURN_IF_ERROR(parse_kwargs(object, chat));
  if (const auto* documents = j.find("documents"); documents != nullptr) {
    if (!documents->is_array()) return invalid("documents", "must be an array");
    chat.documents = *documents;
  }
  chat.continue_final_message = j.b("continue_final_message", false);
  chat.add_generation_prompt = j.b("add_generation_prompt", !chat.continue_final_message);
  if (j.has("chat_template")) chat.chat_template = j.s("chat_template");
  RETURN_IF_ERROR(name_field(j.status()));
  if (chat.thinking_budget.value_or(0) < -1) return invalid("thinking_token_budget", "must be -1 or at least 0");
  chat.trusts_template = trust_template;
  if (chat.continue_final_message && chat.add_generation_prompt) {
    return invalid("continue_final_message", "excludes add_generation_prompt");
  }
  if (chat.continue_final_message && chat.messages.size() > 1) {
    // Systems move to the front, so that what follows the mark would be the other messages.
    const auto& role = chat.messages.back().at("role").get_string();
    if (role == "system" || role == "developer") {
      return invalid("continue_final_message",
                     absl::StrCat("a message of ", std::string(role), " cannot be continued"));
    }
  }
  return chat;
}

absl::StatusOr<RenderedPrompt> render_chat(const ServedModel& model, const ChatPrompt& chat) {
  RETURN_IF_ERROR(need_tokenizer(model, "messages"));
  std::optional<ServedTemplate> own;
  ASSIGN_OR_RETURN(const ServedTemplate* chosen, template_for(model, chat, own));
  base::JsonObject variables = model.template_variables;
  for (const auto& member : chat.kwargs) variables[member.key()] = member.value();
  base::JsonArray messages = chat.messages;
  const std::string final_text = chat.continue_final_message ? mark_final_message(messages) : "";
  ASSIGN_OR_RETURN(variables["messages"], fit_messages(messages, chosen->form));
  variables["add_generation_prompt"] = chat.add_generation_prompt;
  set_tools(chat.tools, chosen->form, variables);
  variables["documents"] = chat.documents;
  auto rendered = chosen->renderer->render(variables, local_now());
  if (!rendered.ok()) {
    // The template called raise_exception, or the messages hit a limit of the renderer.
    return invalid("messages", std::string(rendered.status().message()));
  }
  RenderedPrompt out{*std::move(rendered), chosen->output};
  if (!chat.continue_final_message) return out;
  RETURN_IF_ERROR(cut_at_mark(out.text, final_text));
  cut_ranges(out);
  return out;
}

}  // namespace polymath::api
