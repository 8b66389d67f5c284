#include "api/openai/chat_parts.h"

#include <string>

#include "api/json_values.h"

namespace polymath::api {
namespace {

using text::OutputEvent;
using text::OutputEvents;
using text::OutputKind;

std::string joined(const OutputEvents& events, OutputKind kind) {
  std::string out;
  for (const OutputEvent& event : events) {
    if (event.kind == kind) out += event.text;
  }
  return out;
}

// Both names: OpenAI has none, vLLM has had either.
void set_reasoning(base::JsonObject& out, const OutputEvents& events) {
  const std::string reasoning = joined(events, OutputKind::kReasoning);
  if (reasoning.empty()) return;
  out["reasoning"] = text_json(reasoning);
  out["reasoning_content"] = text_json(reasoning);
}

base::JsonObject begun_call(const OutputEvent& begin) {
  return {{"id", text_json(begin.id)},
          {"type", "function"},
          {"function", base::JsonObject{{"name", text_json(begin.text)}, {"arguments", ""}}}};
}

// The calls, or the pieces of them that the events have. `numbered`: each says its index.
base::JsonArray calls_of(const OutputEvents& events, bool numbered) {
  base::JsonArray out;
  int current = -1;
  for (const OutputEvent& event : events) {
    const bool begins = event.kind == OutputKind::kCallBegin;
    if (!begins && event.kind != OutputKind::kArguments) continue;
    if (begins || event.call != current) {
      current = event.call;
      base::JsonObject call =
          begins ? begun_call(event) : base::JsonObject{{"function", base::JsonObject{{"arguments", ""}}}};
      if (numbered) call["index"] = current;
      out.push_back(std::move(call));
    }
    if (begins) continue;
    auto& arguments = out.back().at("function").at("arguments").get_string();
    arguments.append(boost::json::string_view(event.text.data(), event.text.size()));
  }
  return out;
}

void set_calls(base::JsonObject& out, base::JsonArray calls, CallShape shape) {
  if (calls.empty()) return;
  if (shape == CallShape::kTools) {
    out["tool_calls"] = std::move(calls);
  } else {
    out["function_call"] = calls.front().at("function");
  }
}

}  // namespace

base::JsonObject chat_message(const OutputEvents& events, std::string_view text, std::string_view echo,
                              CallShape shape) {
  const std::string content = std::string(echo) + std::string(text);
  base::JsonArray calls = calls_of(events, /*numbered=*/false);
  base::JsonObject out{{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}};
  if (!content.empty() || calls.empty()) out["content"] = text_json(content);
  set_reasoning(out, events);
  set_calls(out, std::move(calls), shape);
  return out;
}

base::JsonObject chat_delta(const OutputEvents& events, std::string_view text, CallShape shape) {
  if (events.empty()) return {{"content", text_json(text)}};
  base::JsonObject out;
  if (!text.empty()) out["content"] = text_json(text);
  set_reasoning(out, events);
  set_calls(out, calls_of(events, /*numbered=*/true), shape);
  return out;
}

std::string_view chat_finish_reason(const ChoiceEnd& end, CallShape shape) {
  if (!end.has_calls || end.reason != engine::finish_reason_name(engine::FinishReason::kStop)) return end.reason;
  return shape == CallShape::kTools ? "tool_calls" : "function_call";
}

}  // namespace polymath::api
