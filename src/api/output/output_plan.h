#pragma once

// What becomes of a generation's text: which parts of it are reasoning and tool calls.

#include <cstdint>
#include <vector>

#include "text/output/output_parser.h"

namespace polymath::api {

struct ChatPrompt;
struct ServedModel;

struct OutputPlan {
  text::OutputFormat format;  // plain: the text is the content
  text::OutputOptions options;
  std::vector<int32_t> shown;    // special ids that the parser must see
  bool one_call = false;         // the answer ends with its first call
  bool hides_reasoning = false;  // it is parsed and left out
  bool has_reasoned = false;     // the prompt ends with the reasoning's end
};

// `format`: of the chat's template; its calls count only where the chat has tools. `prompt`: the rendered text.
OutputPlan make_output_plan(const ServedModel& model, const ChatPrompt& chat, text::OutputFormat format,
                            std::string_view prompt);

// A random id of a call. `is_short`: nine letters and digits, for templates that ask for them.
std::string new_call_id(bool is_short);

}  // namespace polymath::api
