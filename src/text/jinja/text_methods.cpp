// Methods of str that give new text, or lists of it.

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/lines.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Value changed(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "this method", {});
  budget.walk(self.size);
  budget.expect_room(self.size * 3);  // a letter may grow to three
  return string(budget.copy(change(self.text())));
}

template <bool left, bool right>
Value stripped(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "strip", {"chars"});
  const std::string_view set = p.is_none(0) ? std::string_view() : p.text(0, "");
  if (!p.is_none(0) && set.empty()) return self;
  return string(strip(budget, self.text(), {set, left, right}));
}

int64_t limit_of(const Parameters& p, size_t i) {
  const int64_t limit = p.integer(i, -1);
  return limit < 0 ? INT64_MAX : limit;
}

// The parts between white space, at most `limit` cuts.
void split_words(Budget& budget, std::string_view text, int64_t limit, List& parts) {
  for (text = lstrip(text); !text.empty(); text = lstrip(text)) {
    budget.step();
    if (limit-- == 0) {
      parts.items.push_back(string(text));
      return;
    }
    size_t end = 0;
    while (end < text.size()) {
      const CodePoint c = decode_utf8(text.substr(end));
      if (is_python_space(c.value)) break;
      end += c.bytes;
    }
    parts.items.push_back(string(text.substr(0, end)));
    text.remove_prefix(end);
  }
}

void split_words_from_right(Budget& budget, std::string_view text, int64_t limit, List& parts) {
  for (text = rstrip(text); !text.empty(); text = rstrip(text)) {
    budget.step();
    if (limit-- == 0) {
      parts.items.push_back(string(text));
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      size_t previous = begin - 1;
      while (previous > 0 && (text[previous] & 0xC0) == 0x80) --previous;
      if (is_python_space(decode_utf8(text.substr(previous)).value)) break;
      begin = previous;
    }
    parts.items.push_back(string(text.substr(begin)));
    text = text.substr(0, begin);
  }
  std::reverse(parts.items.begin(), parts.items.end());
}

template <bool from_right>
Value split(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "split", {"sep", "maxsplit"});
  int64_t limit = limit_of(p, 1);
  List* parts = new_list(budget);
  std::string_view text = self.text();
  budget.walk(text.size());
  if (p.is_none(0)) {
    from_right ? split_words_from_right(budget, text, limit, *parts) : split_words(budget, text, limit, *parts);
    return list_value(parts);
  }
  const std::string_view separator = p.text(0, "");
  if (separator.empty()) fail("empty separator");
  for (; limit > 0; --limit) {
    budget.step();
    const size_t cut = from_right ? find_last_in(budget, text, separator) : find_in(text, separator);
    if (cut == text.npos) break;
    parts->items.push_back(string(from_right ? text.substr(cut + separator.size()) : text.substr(0, cut)));
    text = from_right ? text.substr(0, cut) : text.substr(cut + separator.size());
  }
  parts->items.push_back(string(text));
  if (from_right) std::reverse(parts->items.begin(), parts->items.end());
  return list_value(parts);
}

Value split_lines_method(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "splitlines", {"keepends"});
  return list_value(split_lines(context.budget(), self.text(), p.flag(0, false)));
}

template <bool from_right>
Value partition(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "partition", {"sep"}, 1);
  const std::string_view text = self.text(), separator = p.text(0, "");
  if (separator.empty()) fail("empty separator");
  budget.scan(text.size());
  const size_t cut = from_right ? find_last_in(budget, text, separator) : find_in(text, separator);
  List* parts = new_list(budget, ListKind::kTuple);
  if (cut != text.npos) {
    parts->items = {string(text.substr(0, cut)), string(separator), string(text.substr(cut + separator.size()))};
  } else if (from_right) {
    parts->items = {string({}), string({}), self};
  } else {
    parts->items = {self, string({}), string({})};
  }
  return list_value(parts);
}

Value join(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "join", {"iterable"}, 1);
  Builder out(budget);
  bool first = true;
  for (const Value& item : elements(budget, p.at(0))->items) {
    budget.step();
    if (!first) out.append(self.text());
    first = false;
    out.append(expect_text(item, "an item of str.join()"));
  }
  return string(out.finish());
}

Value replace(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "replace", {"old", "new", "count"}, 2);
  return string(replace_all(context.budget(), self.text(), {p.text(0, ""), p.text(1, ""), p.integer(2, -1)}));
}

template <char align>
Value justify(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "this method", {"width", "fillchar"}, 1);
  const std::string_view fill = p.text(1, " ");
  if (length(context.budget(), string(fill)) != 1) fail("The fill character must be exactly one character long");
  return string(pad(context.budget(), self.text(), {p.integer(0, 0), align, fill}));
}

Value zero_fill(Context& context, const Value& self, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "zfill", {"width"}, 1);
  std::string_view text = self.text();
  std::string_view sign;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) sign = text.substr(0, 1);
  text.remove_prefix(sign.size());
  const int64_t width = p.integer(0, 0) - (sign.empty() ? 0 : p.integer(0, 0) > INT64_MIN ? 1 : 0);
  return string(budget.concat(sign, pad(budget, text, {width, '>', "0"})));
}

Value remove_prefix(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "removeprefix", {"prefix"}, 1);
  const std::string_view prefix = p.text(0, "");
  return self.text().starts_with(prefix) ? string(self.text().substr(prefix.size())) : self;
}

Value remove_suffix(Context& context, const Value& self, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "removesuffix", {"suffix"}, 1);
  const std::string_view suffix = p.text(0, "");
  return self.text().ends_with(suffix) ? string(self.text().substr(0, self.size - suffix.size())) : self;
}

Value format(Context& context, const Value& self, const Arguments& arguments) {
  return string(format_braces(context, self.text(), arguments));
}

constexpr std::pair<std::string_view, MethodFunction> kMethods[] = {
    {"strip", stripped<true, true>},
    {"lstrip", stripped<true, false>},
    {"rstrip", stripped<false, true>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", split_lines_method},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"join", join},
    {"replace", replace},
    {"upper", changed<to_upper>},
    {"lower", changed<to_lower>},
    {"casefold", changed<case_fold>},
    {"capitalize", changed<capitalize>},
    {"title", changed<title_case>},
    {"swapcase", changed<swap_case>},
    {"ljust", justify<'<'>},
    {"rjust", justify<'>'>},
    {"center", justify<'^'>},
    {"zfill", zero_fill},
    {"removeprefix", remove_prefix},
    {"removesuffix", remove_suffix},
    {"format", format},
};

}  // namespace

MethodFunction find_text_method(std::string_view name) {
  for (const auto& [known, function] : kMethods) {
    if (known == name) return function;
  }
  return nullptr;
}

}  // namespace polymath::text::jinja
