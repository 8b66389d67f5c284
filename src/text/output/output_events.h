#pragma once

// What a model's output consists of, in order.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polymath::text {

enum class OutputKind : uint8_t {
  kContent,    // text for the reader
  kReasoning,  // text between the marks of reasoning
  kCallBegin,  // a tool call; text: the function's name
  kArguments,  // a piece of its arguments, which together are JSON
  kCallEnd,    // the call is whole
};

struct OutputEvent {
  OutputKind kind = OutputKind::kContent;
  std::string text;
  std::string id;  // kCallBegin: as the model wrote it; empty: the format has none
  int call = -1;   // of a call's events: which call of the output, where the reader numbers them
};

using OutputEvents = std::vector<OutputEvent>;

// Appends an event. Text and arguments join the last event if it is of the same kind.
void append_event(OutputEvents& events, OutputKind kind, std::string_view text);
void append_event(OutputEvents& events, const OutputEvent& event);

}  // namespace polymath::text
