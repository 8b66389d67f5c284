// Filters whose result is text.

#include <array>

#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/lines.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

// Changing case looks at every character and writes every byte anew.
template <std::string (*change)(std::string_view)>
Value changed(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "this filter", {});
  const std::string_view text = to_str(budget, v);
  budget.walk(text.size());
  budget.expect_room(text.size() * 3);  // a letter may grow to three
  return string(budget.copy(change(text)));
}

// Words begin after white space, '-' and opening brackets; unlike str.title(), not after every non-letter.
std::string title_words(std::string_view text) {
  const auto separates = [](std::string_view raw, char32_t c) {
    return is_python_space(c) || std::string_view("-({[<").find(raw) != std::string_view::npos;
  };
  std::string out;
  while (!text.empty()) {
    const std::string_view first = text.substr(0, decode_utf8(text).bytes);
    out += to_upper(first);
    text.remove_prefix(first.size());
    if (separates(first, decode_utf8(first).value)) continue;
    size_t end = 0;  // of the word
    while (end < text.size()) {
      const CodePoint c = decode_utf8(text.substr(end));
      if (separates(text.substr(end, c.bytes), c.value)) break;
      end += c.bytes;
    }
    out += to_lower(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

Value trim(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "trim", {"chars"});
  const std::string_view text = to_str(context.budget(), v);
  const std::string_view set = p.is_none(0) ? std::string_view() : p.text(0, "");
  if (!p.is_none(0) && set.empty()) return string(text);
  return string(strip(context.budget(), text, {set, true, true}));
}

Value to_string(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "string", {});
  return string(to_str(context.budget(), v));
}

Value escape(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "escape", {});
  Builder out(context.budget());
  const std::string_view text = to_str(context.budget(), v);
  context.budget().walk(text.size());
  for (const char& c : text) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      case '"':
        out.append("&#34;");
        break;
      default:
        out.append({&c, 1});
    }
  }
  return string(out.finish());
}

Value replace(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "replace", {"old", "new", "count"}, 2);
  const int64_t count = p.is_none(2) ? -1 : p.integer(2, -1);
  Budget& budget = context.budget();
  return string(replace_all(budget, to_str(budget, v), {to_str(budget, p.at(0)), to_str(budget, p.at(1)), count}));
}

Value indent(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "indent", {"width", "first", "blank"});
  std::string_view margin = "    ";
  if (p.has(0) && p.at(0).is(Kind::kString)) {
    margin = p.at(0).text();
  } else if (p.has(0)) {
    margin = apply_binary(budget, kMultiply, string(" "), p.at(0)).text();
  }
  const std::string_view text = budget.concat(expect_text(v, "what indent takes"), "\n");
  const List* lines = split_lines(budget, text, false);
  Builder out(budget);
  for (size_t i = 0; i < lines->items.size(); ++i) {
    const std::string_view line = lines->items[i].text();
    if (i > 0) out.append("\n");
    if (i == 0 ? p.flag(1, false) : (p.flag(2, false) || !line.empty())) out.append(margin);
    out.append(line);
  }
  return string(out.finish());
}

Value truncate(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "truncate", {"length", "killwords", "end", "leeway"});
  const std::string_view end = p.text(2, "...");
  const int64_t wanted = p.integer(0, 255), leeway = p.is_none(3) ? 5 : p.integer(3, 5);
  const auto tail = static_cast<int64_t>(length(budget, string(end)));
  if (wanted < tail || leeway < 0 || leeway > INT32_MAX || wanted > INT32_MAX)
    fail("truncate() cannot keep that length");
  const std::string_view text = expect_text(v, "what truncate takes");
  if (static_cast<int64_t>(length(budget, v)) <= wanted + leeway) return v;
  std::string_view kept = text.substr(0, byte_offset(text, static_cast<size_t>(wanted - tail)));
  if (!p.flag(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return string(budget.concat(kept, end));
}

Value center(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "center", {"width"});
  const std::string_view text = to_str(budget, v);
  return string(pad(budget, text, {p.integer(0, 80), '^', " "}));
}

Value percent_format(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  if (!arguments.named.empty()) {
    Dict* names = new_dict(budget);
    for (const auto& [key, value] : arguments.named) insert(budget, *names, string(key), value);
    return string(format_percent(budget, to_str(budget, v), dict_value(names)));
  }
  List* values = new_list(budget, ListKind::kTuple);
  values->items = arguments.positional;
  return string(format_percent(budget, to_str(budget, v), list_value(values)));
}

// In a query a space is a plus and a slash is escaped.
void append_url(Builder& out, std::string_view text, bool in_query) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  out.budget().walk(text.size());
  for (const char& c : text) {
    const auto b = static_cast<unsigned char>(c);
    if (b < 0x80 && (std::isalnum(b) || c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !in_query))) {
      out.append({&c, 1});
    } else if (c == ' ' && in_query) {
      out.append("+");
    } else {
      const char escaped[] = {'%', kDigits[b >> 4], kDigits[b & 15]};
      out.append({escaped, 3});
    }
  }
}

Value url_encode(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "urlencode", {});
  Builder out(budget);
  if (!v.is(Kind::kDict)) {
    append_url(out, to_str(budget, v), false);
    return string(out.finish());
  }
  for (const auto& [key, value] : v.dict->entries) {
    if (!out.view().empty()) out.append("&");
    append_url(out, to_str(budget, key), true);
    out.append("=");
    append_url(out, to_str(budget, value), true);
  }
  return string(out.finish());
}

Value to_json(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{.ensure_ascii = p.flag(0, false), .sort_keys = p.flag(3, false)};
  if (!p.is_none(1)) {
    style.pretty = true;
    style.item_separator = ",";
    const Value indent = p.at(1);
    style.indent =
        indent.is(Kind::kString) ? indent.text() : apply_binary(budget, kMultiply, string(" "), indent).text();
  }
  if (!p.is_none(2)) {
    const Values& separators = elements(budget, p.at(2))->items;
    if (separators.size() != 2) fail("tojson()'s separators are two strings");
    style.item_separator = expect_text(separators[0], "a separator");
    style.key_separator = expect_text(separators[1], "a separator");
  }
  Builder out(budget);
  append_json(out, v, style);
  return string(out.finish());
}

constexpr std::pair<std::string_view, Filter> kFilters[] = {
    {"upper", changed<to_upper>},
    {"lower", changed<to_lower>},
    {"capitalize", changed<capitalize>},
    {"title", changed<title_words>},
    {"trim", trim},
    {"string", to_string},
    {"safe", to_string},
    {"escape", escape},
    {"e", escape},
    {"replace", replace},
    {"indent", indent},
    {"truncate", truncate},
    {"center", center},
    {"format", percent_format},
    {"urlencode", url_encode},
    {"tojson", to_json},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

}  // namespace polymath::text::jinja
