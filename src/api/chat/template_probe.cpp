// Finds a template's MessageForm by rendering marked messages.

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/chat/message_form.h"

namespace polymath::api {
namespace {

constexpr int64_t kNow = 1'700'000'000;  // any time
// What a template is asked to show. No template writes these by itself.
constexpr const char* kUser = "xqUserOne";
constexpr const char* kNextUser = "xqUserTwo";
constexpr const char* kAnswer = "xqAnswer";
constexpr const char* kSystem = "xqSystemOne";
constexpr const char* kNextSystem = "xqSystemTwo";
constexpr const char* kCallName = "xq_call";
constexpr const char* kCallValue = "xqValue";
constexpr const char* kResult = "xqResult";
constexpr const char* kCallId = "abcdefghi";  // nine letters, as Mistral's templates ask

using Marks = std::initializer_list<const char*>;

base::JsonObject message(const char* role, const char* content) { return {{"role", role}, {"content", content}}; }

base::JsonArray parts(std::initializer_list<const char*> texts) {
  base::JsonArray out;
  for (const char* text : texts) out.push_back(base::JsonObject{{"type", "text"}, {"text", text}});
  return out;
}

base::JsonObject call_message() {
  const base::JsonObject function{{"name", kCallName}, {"arguments", base::JsonObject{{"xq_key", kCallValue}}}};
  const base::JsonObject call{{"id", kCallId}, {"type", "function"}, {"function", function}};
  base::JsonObject out = message("assistant", "");
  out["tool_calls"] = base::JsonArray{call};
  return out;
}

// Without a name, as OpenAI's clients send it.
base::JsonObject result_message() {
  base::JsonObject out = message("tool", kResult);
  out["tool_call_id"] = kCallId;
  return out;
}

base::JsonArray tools() {
  const base::JsonObject key{{"type", "string"}, {"description", "a key"}};
  const base::JsonObject parameters{
      {"type", "object"}, {"properties", base::JsonObject{{"xq_key", key}}}, {"required", base::JsonArray{"xq_key"}}};
  const base::JsonObject function{{"name", kCallName}, {"description", "a function"}, {"parameters", parameters}};
  return {base::JsonObject{{"type", "function"}, {"function", function}}};
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// True: a list of parts is written out as Python or JSON shows it, instead of being read.
bool writes_out_parts(std::string_view text, std::string_view mark) {
  for (const char* quote : {"'", "\""}) {
    if (has(text, absl::StrCat("text", quote, ": ", quote, std::string(mark)))) return true;
  }
  return false;
}

class Probe {
 public:
  Probe(const text::ChatTemplate& chat_template, const base::JsonObject& variables)
      : template_(chat_template), variables_(variables) {
    variables_["documents"] = nullptr;
    variables_["tools"] = nullptr;
    variables_["add_generation_prompt"] = true;
  }

  bool loops_over_content() const { return template_.loops_over_content(); }
  void give_tools() { variables_["tools"] = tools(); }

  // Empty: the template refuses the messages.
  std::string render(const base::JsonArray& messages, const MessageForm& form) {
    auto fitted = fit_messages(messages, form);
    if (!fitted.ok()) return {};
    variables_["messages"] = *std::move(fitted);
    auto chat = template_.render(variables_, kNow);
    return chat.ok() ? std::move(chat->text) : std::string();
  }

  bool shows(const base::JsonArray& messages, const MessageForm& form, Marks marks) {
    const std::string text = render(messages, form);
    return std::all_of(marks.begin(), marks.end(), [&](const char* mark) { return has(text, mark); });
  }

 private:
  const text::ChatTemplate& template_;
  base::JsonObject variables_;
};

// How the role of messages[at] takes its content. `form` says how the others do.
ContentForm probe_content(Probe& probe, base::JsonArray messages, size_t at, const MessageForm& form) {
  constexpr const char* kFirst = "xqPartOne";
  constexpr const char* kSecond = "xqPartTwo";
  base::JsonValue& content = messages[at].get_object()["content"];
  content = kFirst;
  const bool takes_text = probe.shows(messages, form, {kFirst});
  if (takes_text && !probe.loops_over_content()) return ContentForm::kText;
  content = parts({kFirst, kSecond});
  const std::string text = probe.render(messages, form);
  const bool takes_first = has(text, kFirst) && !writes_out_parts(text, kFirst);
  const bool takes_parts = takes_first && has(text, kSecond);
  if (takes_text) return takes_parts ? ContentForm::kAsSent : ContentForm::kText;
  return takes_parts ? ContentForm::kParts : takes_first ? ContentForm::kOnePart : ContentForm::kText;
}

void probe_contents(Probe& probe, MessageForm& form) {
  const base::JsonObject user = message("user", kUser), next = message("user", kNextUser);
  const base::JsonObject assistant = message("assistant", kAnswer), system = message("system", kSystem);
  const auto with = [&](ContentForm MessageForm::*role) {
    MessageForm as_sent = form;
    as_sent.*role = ContentForm::kAsSent;
    return as_sent;
  };
  form.user = probe_content(probe, {user}, 0, with(&MessageForm::user));
  form.assistant = probe_content(probe, {user, assistant, next}, 1, with(&MessageForm::assistant));
  form.system = probe_content(probe, {system, user}, 0, with(&MessageForm::system));
}

void probe_systems(Probe& probe, MessageForm& form) {
  const base::JsonObject user = message("user", kUser), next = message("user", kNextUser);
  const base::JsonObject first = message("system", kSystem), second = message("system", kNextSystem);
  const base::JsonObject developer = message("developer", kNextSystem), answer = message("assistant", kAnswer);
  // Some templates name the role and show its text in some chats only.
  const MessageForm apart = form;  // nothing is joined
  form.shows_developer = form.shows_developer && probe.shows({developer, user}, apart, {kNextSystem});
  form.several_systems = probe.shows({first, second, user}, apart, {kSystem, kNextSystem, kUser});
  form.scattered_systems =
      probe.shows({first, user, answer, second, next}, apart, {kSystem, kNextSystem, kUser, kNextUser});
  form.system_and_developer = probe.shows({first, developer, user}, apart, {kSystem, kNextSystem, kUser});
}

// The ways to write calls, the usual ones first.
std::vector<MessageForm> call_forms(const MessageForm& form) {
  std::vector<MessageForm> out;
  for (const bool named_results : {false, true}) {
    for (const bool null_content : {false, true}) {
      for (const bool as_text : {false, true}) {
        out.push_back(form);
        out.back().named_results = named_results;
        out.back().null_beside_calls = null_content;
        out.back().arguments_as_text = as_text;
      }
    }
  }
  return out;
}

// What a chat with a call may do and count as shown.
struct Allowance {
  bool none;          // write "None"
  bool until_answer;  // end at the tool's answer
};

// The first of `forms` in which a chat with a call, its answer and texts is shown whole.
std::optional<MessageForm> probe_calls(Probe& probe, const std::vector<MessageForm>& forms, Allowance allowed) {
  base::JsonArray chat{message("user", kUser), call_message(), result_message()};
  if (!allowed.until_answer) {
    chat.push_back(message("assistant", kAnswer));
    chat.push_back(message("user", kNextUser));
  }
  for (const MessageForm& tried : forms) {
    const std::string text = probe.render(chat, tried);
    bool whole = has(text, kUser) && has(text, kCallName) && has(text, kCallValue) && has(text, kResult);
    if (!allowed.until_answer) whole = whole && has(text, kAnswer) && has(text, kNextUser);
    if (whole && (allowed.none || !has(text, "None"))) return tried;
  }
  return std::nullopt;
}

}  // namespace

MessageForm probe_template(const text::ChatTemplate& chat_template, std::string_view source,
                           const base::JsonObject& variables, ContentFormat format) {
  MessageForm form;
  form.shows_developer = has(source, "'developer'") || has(source, "\"developer\"");
  form.declares_tools = has(source, "tools_ts_str");
  Probe probe(chat_template, variables);
  if (format == ContentFormat::kAuto) {
    probe_contents(probe, form);
  } else if (format == ContentFormat::kParts) {
    form.system = form.user = form.assistant = ContentForm::kParts;
  }
  probe_systems(probe, form);
  probe.give_tools();
  // Some templates write "None" in every chat; some end a chat at the tool's answer.
  constexpr Allowance kAllowances[] = {{false, false}, {false, true}, {true, false}, {true, true}};
  // Command-A-Reasoning reads contents beside calls, and answers, by their parts alone.
  MessageForm in_parts = form;
  in_parts.assistant = in_parts.tool = ContentForm::kParts;
  for (const auto& forms : {call_forms(form), {in_parts}}) {
    for (const Allowance& allowed : kAllowances) {
      if (const auto found = probe_calls(probe, forms, allowed)) return *found;
    }
  }
  return form;
}

}  // namespace polymath::api
