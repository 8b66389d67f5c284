// str.format(): "{}", "{0}", "{name}", "{a.b[0]!r:>8}".

#include <charconv>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"

namespace polymath::text::jinja {
namespace {

class BraceFormat {
 public:
  BraceFormat(Context& context, const Arguments& arguments)
      : budget_(context.budget()), arguments_(arguments), out_(context.budget()) {}

  std::string_view run(std::string_view format) {
    while (!format.empty()) {
      budget_.step();
      const size_t brace = format.find_first_of("{}");
      out_.append(format.substr(0, brace));
      if (brace == format.npos) break;
      format.remove_prefix(brace);
      if (format.size() > 1 && format[1] == format[0]) {
        out_.append(format.substr(0, 1));
        format.remove_prefix(2);
        continue;
      }
      const size_t end = format.find('}');
      if (format[0] == '}') fail("Single '}' encountered in format string");
      if (end == format.npos) fail("expected '}' before end of string");
      field(format.substr(1, end - 1));
      format.remove_prefix(end + 1);
    }
    return out_.finish();
  }

 private:
  static bool is_number(std::string_view text, int64_t& number) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    return !text.empty() && text[0] != '-' && result.ec == std::errc() && result.ptr == text.data() + text.size();
  }

  Value positional(int64_t i) {
    if (i >= static_cast<int64_t>(arguments_.positional.size())) {
      fail(absl::StrCat("Replacement index ", i, " out of range for positional args tuple"));
    }
    return arguments_.positional[static_cast<size_t>(i)];
  }

  Value base(std::string_view name) {
    int64_t index = 0;
    if (name.empty()) return positional(next_++);
    if (is_number(name, index)) return positional(index);
    budget_.step(arguments_.named.size() / 16);
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail(absl::StrCat("the format names '", std::string(name), "', which is not given"));
  }

  void field(std::string_view text) {
    if (text.find('{') != text.npos) fail("fields within fields are not supported");
    const size_t colon = std::min(text.find(':'), text.size());
    const std::string_view specification = colon < text.size() ? text.substr(colon + 1) : "";
    text = text.substr(0, colon);
    const size_t mark = std::min(text.find('!'), text.size());
    const std::string_view conversion = text.substr(mark);
    text = text.substr(0, mark);
    const size_t name_end = std::min(text.find_first_of(".["), text.size());
    Value value = follow(base(text.substr(0, name_end)), text.substr(name_end));
    if (conversion == "!r") {
      Builder repr(budget_);
      append_repr(repr, value);
      value = string(repr.finish());
    } else if (conversion == "!s") {
      value = string(to_str(budget_, value));
    } else if (!conversion.empty()) {
      fail("a conversion other than !s and !r is not supported");
    }
    append_formatted(out_, value, specification);
  }

  Value follow(Value value, std::string_view path) {
    while (!path.empty()) {
      budget_.step();
      const bool is_item = path[0] == '[';
      const size_t end = is_item ? path.find(']') : path.find_first_of(".[", 1);
      if (is_item && end == path.npos) fail("expected ']' in a format field");
      const std::string_view key = path.substr(1, end == path.npos ? end : end - 1);
      int64_t index = 0;
      if (is_item) {
        value = get_item(budget_, value, is_number(key, index) ? integer(index) : string(key));
      } else {
        value = get_attribute(budget_, value, key);
      }
      expect_defined(value);
      path.remove_prefix(end == path.npos ? path.size() : end + (is_item ? 1 : 0));
    }
    return value;
  }

  Budget& budget_;
  const Arguments& arguments_;
  Builder out_;
  int64_t next_ = 0;
};

}  // namespace

std::string_view format_braces(Context& context, std::string_view format, const Arguments& arguments) {
  return BraceFormat(context, arguments).run(format);
}

}  // namespace polymath::text::jinja
