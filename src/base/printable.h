#pragma once

// Text for a terminal or a log line. Nothing in it moves the cursor, breaks the line or hides what follows.

#include <string>
#include <string_view>

namespace polymath::base {

// Escapes C0, DEL and C1 controls, line and paragraph separators, bidirectional controls and what is not UTF-8.
// "\n" becomes \x0a, U+202E \u202e, a stray byte 0xff \xff. The rest stays.
std::string printable(std::string_view text);

}  // namespace polymath::base
