#pragma once

// What filters and methods of text share.

#include "text/jinja/value.h"

namespace polymath::text::jinja {

// Python's splitlines(): at \n, \r, \r\n, \v, \f, U+001C..U+001E, U+0085, U+2028, U+2029.
List* split_lines(Budget& budget, std::string_view text, bool keep_ends);

// text.find(wanted) in linear time, whatever the texts are (std::string_view's own is quadratic at worst).
size_t find_in(std::string_view text, std::string_view wanted, size_t from = 0);
// The last one; charged for its worst case.
size_t find_last_in(Budget& budget, std::string_view text, std::string_view wanted);

struct Stripping {
  std::string_view set;  // of characters; null data: white space
  bool left, right;
};
// Charged for what goes, and the size of the set.
std::string_view strip(Budget& budget, std::string_view text, const Stripping& stripping);

struct Replacement {
  std::string_view old_text, new_text;
  int64_t count;  // negative: all
};
std::string_view replace_all(Budget& budget, std::string_view text, const Replacement& replacement);

struct Padding {
  int64_t width;          // in characters
  char align;             // '<', '>', '^'
  std::string_view fill;  // one character
};
std::string_view pad(Budget& budget, std::string_view text, const Padding& padding);

}  // namespace polymath::text::jinja
