// Methods of str that ask something of it: where, how often, whether.

#include <algorithm>

#include "text/jinja/call.h"
#include "text/jinja/lines.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

struct Part {
  std::string_view text;
  int64_t first;   // its place within the whole, in characters
  bool in_bounds;  // false: the start lies behind the end of the text
};

// self[start:stop], as find, count, startswith and endswith take it.
Part part_of(Budget& budget, const Value& self, const Parameters& p) {
  if (p.is_none(1) && p.is_none(2)) return {self.text(), 0, true};
  const auto size = static_cast<int64_t>(length(budget, self));
  const auto bound = [&](size_t i, int64_t fallback) {
    if (p.is_none(i)) return fallback;
    const int64_t value = p.integer(i, 0);
    return value < 0 ? std::max<int64_t>(0, std::max(value, -size) + size) : value;
  };
  const int64_t start = bound(1, 0), stop = std::min(size, bound(2, size));
  if (start > stop) return {"", std::min(start, size), false};
  const size_t begin = byte_offset(self.text(), static_cast<size_t>(start));
  const std::string_view rest = self.text().substr(begin);
  return {rest.substr(0, byte_offset(rest, static_cast<size_t>(stop - start))), start, true};
}

template <bool from_right, bool must>
Value find_text(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "find", {"sub", "start", "end"}, 1);
  const std::string_view wanted = p.text(0, "");
  budget.scan(self.size);
  const Part part = part_of(budget, self, p);
  const size_t at = from_right ? find_last_in(budget, part.text, wanted) : find_in(part.text, wanted);
  if (at == part.text.npos || !part.in_bounds) {
    if (must) fail("substring not found");
    return integer(-1);
  }
  return integer(part.first + static_cast<int64_t>(length(budget, string(part.text.substr(0, at)))));
}

Value count(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "count", {"sub", "start", "end"}, 1);
  const std::string_view wanted = p.text(0, "");
  budget.scan(self.size);
  const Part part = part_of(budget, self, p);
  if (!part.in_bounds) return integer(0);
  if (wanted.empty()) return integer(static_cast<int64_t>(length(budget, string(part.text))) + 1);
  int64_t found = 0;
  for (size_t at = find_in(part.text, wanted); at != part.text.npos;
       at = find_in(part.text, wanted, at + wanted.size()))
    ++found;
  return integer(found);
}

template <bool at_end>
Value begins_or_ends(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, at_end ? "endswith" : "startswith", {"prefix", "start", "end"}, 1);
  const Part part = part_of(budget, self, p);
  const auto matches = [&](const Value& v) {
    const std::string_view wanted = expect_text(v, "what a text begins or ends with");
    budget.scan(wanted.size());
    return part.in_bounds && (at_end ? part.text.ends_with(wanted) : part.text.starts_with(wanted));
  };
  const Value& wanted = p.at(0);
  if (!wanted.is(Kind::kList) || wanted.list->kind != ListKind::kTuple) return boolean(matches(wanted));
  return boolean(std::any_of(wanted.list->items.begin(), wanted.list->items.end(), matches));
}

bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }

// Not empty, and all characters are such.
template <bool (*predicate)(char32_t)>
Value all_are(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "this method", {});
  context.budget().walk(self.size);
  std::string_view text = self.text();
  if (text.empty()) return boolean(false);
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    if (!predicate(c.value)) return boolean(false);
    text.remove_prefix(c.bytes);
  }
  return boolean(true);
}

// At least one letter with case, and none of the other case.
template <bool (*wanted)(char32_t), bool (*unwanted)(char32_t)>
Value cased(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "this method", {});
  context.budget().walk(self.size);
  bool any = false;
  for (std::string_view text = self.text(); !text.empty();) {
    const CodePoint c = decode_utf8(text);
    if (unwanted(c.value)) return boolean(false);
    any = any || wanted(c.value);
    text.remove_prefix(c.bytes);
  }
  return boolean(any);
}

Value is_ascii_method(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "isascii", {});
  context.budget().scan(self.size);
  return boolean(is_ascii(self.text()));
}

constexpr std::pair<std::string_view, MethodFunction> kMethods[] = {
    {"find", find_text<false, false>},
    {"rfind", find_text<true, false>},
    {"index", find_text<false, true>},
    {"rindex", find_text<true, true>},
    {"count", count},
    {"startswith", begins_or_ends<false>},
    {"endswith", begins_or_ends<true>},
    {"isalpha", all_are<is_alphabetic>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isdigit", all_are<is_digit>},
    {"isdecimal", all_are<is_decimal>},
    {"isnumeric", all_are<is_numeric>},
    {"isspace", all_are<is_python_space>},
    {"islower", cased<is_lower, is_upper>},
    {"isupper", cased<is_upper, is_lower>},
    {"isascii", is_ascii_method},
};

}  // namespace

MethodFunction find_text_search_method(std::string_view name) {
  for (const auto& [known, function] : kMethods) {
    if (known == name) return function;
  }
  return nullptr;
}

}  // namespace polymath::text::jinja
