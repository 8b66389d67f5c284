#pragma once

// Does a template walk the parts of a message's content?
//
//   {% for m in messages[1:] %}{% for part in m['content'] | list %}
//
// `messages` may have other names by `set`. Loops in macros, over a macro's parameter, do not count: such templates
// take a list, but their authors and vLLM give them text.
// Source: the rule is that of vLLM's detection of the content format.

#include "text/jinja/ast.h"

namespace polymath::text::jinja {

bool loops_over_content(Body body);

}  // namespace polymath::text::jinja
