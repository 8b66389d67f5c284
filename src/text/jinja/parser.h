#pragma once

// Template text -> tree. Grammar: Jinja2's, without imports, inheritance, recursive loops and extensions
// other than loop controls and transformers' `generation` block.

#include <string>
#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/memory.h"

namespace polymath::text::jinja {

struct Template {
  explicit Template(size_t memory_bytes_max) : budget(memory_bytes_max, SIZE_MAX) {}
  std::string source;  // normalised; names and text are views into it
  Budget budget;       // owns the nodes; its line is the parser's
  Body body;
};

// TemplateError; result.budget.line says where. Names an unsupported tag, filter or test.
void parse_template(std::string_view source, int depth_max, Template& result);

// True: the template walks the parts of a message's content.
//
//   {% for m in messages[1:] %}{% for part in m['content'] | list %}
//
// `messages` may have other names by `set`. A macro's parameter does not count: its author gives it text as well.
// Source: vLLM's detection of the content format.
bool loops_over_content(Body body);

}  // namespace polymath::text::jinja
