#pragma once

// Values as text: Python's str(), repr(), json.dumps(), `%` and str.format().

#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace polymath::text::jinja {

std::string format_float(double f);  // the shortest text that reads back the same: "1.0", "1e+16", "inf"

void append_str(Builder& out, const Value& v);
void append_repr(Builder& out, const Value& v);
std::string_view to_str(Budget& budget, const Value& v);  // a string's own bytes, not copied

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool pretty = false;  // a line an element, each level led by `indent` once more
  std::string_view indent;
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
};

void append_json(Builder& out, const Value& v, const JsonStyle& style);

// "%s of %d" % arguments; a tuple is several, a dict is read by "%(name)s".
std::string_view format_percent(Budget& budget, std::string_view format, const Value& arguments);

// One "{...}" of str.format: the text of `v` by a specification such as ">8", ".2f", ",".
void append_formatted(Builder& out, const Value& v, std::string_view specification);

// A number for "%5.2f" and "{:5.2f}". `type` is one of "diouxXeEfFgGc%".
struct NumberFormat {
  char type = 'd';
  int precision = -1;  // -1: the type's own
  char sign = '-';     // '-', '+' or ' '
  bool alternate = false;
  bool thousands = false;
};
std::string format_number(const Value& v, const NumberFormat& format);

}  // namespace polymath::text::jinja
