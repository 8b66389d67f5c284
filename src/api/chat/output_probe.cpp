#include "api/chat/output_probe.h"

#include <algorithm>
#include <string>
#include <utility>

namespace polymath::api {
namespace {

constexpr int64_t kNow = 1'700'000'000;  // any time
constexpr const char* kCallName = "xq_call";
constexpr const char* kKey = "xq_key";

base::JsonArray chat_with_call(const base::JsonValue& value) {
  const base::JsonObject function{{"name", kCallName}, {"arguments", base::JsonObject{{kKey, value}}}};
  // Nine letters, as Mistral's templates ask.
  const base::JsonObject call{{"id", "abcdefghi"}, {"type", "function"}, {"function", function}};
  return {base::JsonObject{{"role", "user"}, {"content", "xqUser"}},
          base::JsonObject{{"role", "assistant"}, {"content", ""}, {"tool_calls", base::JsonArray{call}}}};
}

base::JsonArray tools() {
  const base::JsonObject key{{"type", "string"}, {"description", "a key"}};
  const base::JsonObject parameters{
      {"type", "object"}, {"properties", base::JsonObject{{kKey, key}}}, {"required", base::JsonArray{kKey}}};
  const base::JsonObject function{{"name", kCallName}, {"description", "a function"}, {"parameters", parameters}};
  return {base::JsonObject{{"type", "function"}, {"function", function}}};
}

// Empty: the template refuses the messages.
std::string render(const text::ChatTemplate& chat_template, base::JsonObject variables, const base::JsonArray& messages,
                   const MessageForm& form) {
  auto fitted = fit_messages(messages, form);
  if (!fitted.ok()) return {};
  variables["messages"] = *std::move(fitted);
  variables["tools"] = tools();
  variables["documents"] = nullptr;
  auto chat = chat_template.render(variables, kNow);
  return chat.ok() ? std::move(chat->text) : std::string();
}

// What the assistant wrote: the chat without the prompt that precedes it.
std::string assistant_text(const text::ChatTemplate& chat_template, base::JsonObject variables,
                           const base::JsonArray& chat, const MessageForm& form) {
  variables["add_generation_prompt"] = false;
  const std::string whole = render(chat_template, variables, chat, form);
  variables["add_generation_prompt"] = true;
  const std::string prompt = render(chat_template, variables, {chat.front()}, form);
  const auto end = std::mismatch(whole.begin(), whole.end(), prompt.begin(), prompt.end()).first;
  return {end, whole.end()};
}

// Whether the text is read as the one call with this value.
bool reads_back(const text::CallFormat& format, const std::string& text, const base::JsonValue& value) {
  auto types = std::make_shared<text::ToolTypes>();
  types->add(kCallName, kKey, value.is_string() ? text::ParameterType::kString : text::ParameterType::kOther);
  const auto parser = text::make_output_parser({.calls = &format}, {.types = std::move(types)});
  text::OutputEvents events;
  parser->push(text, events);
  parser->finish(events);
  std::string arguments;
  int n_calls = 0;
  for (const text::OutputEvent& event : events) {
    if (event.kind == text::OutputKind::kCallBegin && event.text == kCallName) ++n_calls;
    if (event.kind == text::OutputKind::kArguments) arguments += event.text;
  }
  const auto read = base::parse_json(arguments, {});
  return n_calls == 1 && read.ok() && *read == base::JsonValue(base::JsonObject{{kKey, value}});
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

const text::ReasoningFormat* reasoning_in(std::string_view source) {
  const auto shown = [&](const std::vector<std::string_view>& marks) {
    return std::any_of(marks.begin(), marks.end(), [&](std::string_view mark) { return has(source, mark); });
  };
  for (const text::ReasoningFormat& format : text::reasoning_formats()) {
    if (!format.detected) continue;
    if (format.is_harmony && has(source, "<|channel|>analysis")) return &format;
    if (shown(format.ends) && (format.removed.empty() || shown(format.removed))) return &format;
  }
  return nullptr;
}

}  // namespace

text::OutputFormat probe_output(const text::ChatTemplate& chat_template, std::string_view source,
                                const base::JsonObject& variables, const MessageForm& form) {
  text::OutputFormat out{.calls = nullptr, .reasoning = reasoning_in(source)};
  // Pythonic templates write a string without its quotes.
  for (const base::JsonValue& value : {base::JsonValue("xqValue"), base::JsonValue(7)}) {
    const std::string text = assistant_text(chat_template, variables, chat_with_call(value), form);
    if (!has(text, kCallName)) continue;
    for (const text::CallFormat& format : text::call_formats()) {
      if (!format.detected || !reads_back(format, text, value)) continue;
      out.calls = &format;
      return out;
    }
  }
  return out;
}

}  // namespace polymath::api
