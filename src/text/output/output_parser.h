#pragma once

// A model's output, as it comes -> reasoning, content and tool calls.
//
//   auto parser = make_output_parser({.calls = find_call_format("hermes")}, options);
//   parser->push("Let me see.\n<tool_call>\n{\"name\": ", events);
//   parser->finish(events);
//
// However the text is cut into pieces, the joined events are the same. A call is shown once it is whole. One of more
// than kHeldBytes bytes is shown as it comes. What turns out to be no call is text. A call that breaks off after it was
// shown ends there, and the rest is text.
// Blanks around reasoning and calls are removed where no other text is beside them.
// Cost is constant a byte, for texts of any kind.
// Thread safety: none; one answer owns one.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/output/call_format.h"
#include "text/output/output_events.h"
#include "text/output/reasoning_format.h"
#include "text/output/tool_types.h"

namespace polymath::text {

inline constexpr size_t kHeldBytes = 256;

struct OutputFormat {
  const CallFormat* calls = nullptr;           // null: calls stay text
  const ReasoningFormat* reasoning = nullptr;  // null: reasoning stays text

  bool is_plain() const { return calls == nullptr && reasoning == nullptr; }
  bool is_harmony() const;
};

struct OutputOptions {
  bool in_reasoning = false;               // the text begins within the reasoning
  std::shared_ptr<const ToolTypes> types;  // null: no function is declared
};

class OutputParser {
 public:
  virtual ~OutputParser() = default;
  virtual void push(std::string_view text, OutputEvents& events) = 0;
  virtual void finish(OutputEvents& events) = 0;
  virtual bool in_reasoning() const = 0;
  // Not within a header of a channel, nor within a call.
  virtual bool in_reasoning_text() const = 0;
};

// REQUIRES: !format.is_plain().
std::unique_ptr<OutputParser> make_output_parser(const OutputFormat& format, const OutputOptions& options);
// gpt-oss's channels. Without calls they stay text.
std::unique_ptr<OutputParser> make_harmony_parser(bool with_calls);

// What the parser must see of the text, although it may be a special token.
std::vector<std::string_view> marks_of(const OutputFormat& format);

}  // namespace polymath::text
