#include "text/jinja/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/utf8.h"
#include "utf8proc.h"

namespace polymath::text::jinja {
namespace {

constexpr int kDepthMax = 200;  // of a value that is written out; deeper: TemplateError

void enter(Builder& out) {
  out.budget().step();
  if (++out.depth > kDepthMax) fail("a value is nested too deeply to be written out");
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string escape_repr(char32_t c) {
  char buffer[16];
  const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(buffer, sizeof buffer, format, static_cast<unsigned>(c));
  return buffer;
}

void append_quoted(Builder& out, std::string_view text) {
  out.budget().walk(text.size());
  const bool has_single = text.find('\'') != text.npos, has_double = text.find('"') != text.npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  const std::string_view edge(&quote, 1);
  out.append(edge);
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    const std::string_view raw = text.substr(0, c.bytes);
    if (c.value == '\\' || c.value == static_cast<char32_t>(quote)) {
      out.append("\\");
      out.append(raw);
    } else if (c.value == '\n') {
      out.append("\\n");
    } else if (c.value == '\r') {
      out.append("\\r");
    } else if (c.value == '\t') {
      out.append("\\t");
    } else {
      out.append(is_printable(c.value) ? std::string_view(raw) : std::string_view(escape_repr(c.value)));
    }
    text.remove_prefix(c.bytes);
  }
  out.append(edge);
}

void append_items(Builder& out, const Values& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, items[i]);
  }
}

void append_list(Builder& out, const List& list) {
  switch (list.kind) {
    case ListKind::kTuple:
    case ListKind::kGroup:
      out.append("(");
      append_items(out, list.items);
      out.append(list.items.size() == 1 ? ",)" : ")");
      return;
    case ListKind::kGenerator:
      return out.append("<generator object>");
    case ListKind::kItems:
      out.append("dict_items([");
      break;
    case ListKind::kKeys:
      out.append("dict_keys([");
      break;
    case ListKind::kValues:
      out.append("dict_values([");
      break;
    case ListKind::kList:
      out.append("[");
      break;
  }
  append_items(out, list.items);
  out.append(list.kind == ListKind::kList ? "]" : "])");
}

void append_dict(Builder& out, const Dict& dict) {
  out.append("{");
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!first) out.append(", ");
    first = false;
    append_repr(out, key);
    out.append(": ");
    append_repr(out, value);
  }
  out.append("}");
}

void append_range(Builder& out, const Range& range) {
  std::string text = "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
  if (range.step != 1) text += ", " + std::to_string(range.step);
  out.append(text + ")");
}

void append_callable(Builder& out, const Value& v) {
  switch (v.kind) {
    case Kind::kMacro:
      out.append("<Macro '");
      out.append(macro_name(*v.macro));
      return out.append("'>");
    case Kind::kMethod:
      out.append("<built-in method ");
      out.append(v.method->name);
      return out.append(">");
    case Kind::kLoop:
      return out.append("<LoopContext>");
    case Kind::kCycler:
      return out.append("<Cycler>");
    case Kind::kJoiner:
      return out.append("<Joiner>");
    default:
      return out.append("<function>");
  }
}

}  // namespace

std::string format_float(double f) {
  if (std::isnan(f)) return "nan";
  if (std::isinf(f)) return f > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + sizeof buffer, f, std::chars_format::scientific);
  const std::string_view text(buffer, scientific.ptr - buffer);
  const size_t e = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(digits, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, f, std::chars_format::fixed);
  std::string result(buffer, fixed.ptr);
  if (result.find('.') == result.npos) result += ".0";
  return result;
}

void append_str(Builder& out, const Value& v) {
  if (v.is(Kind::kString)) return out.append(v.text());
  if (v.is(Kind::kUndefined)) return;
  append_repr(out, v);
}

void append_repr(Builder& out, const Value& v) {
  enter(out);
  switch (v.kind) {
    case Kind::kUndefined:
      out.append("Undefined");
      break;
    case Kind::kNone:
      out.append("None");
      break;
    case Kind::kBool:
      out.append(v.boolean ? "True" : "False");
      break;
    case Kind::kInt:
      out.append(std::to_string(v.integer));
      break;
    case Kind::kFloat:
      out.append(v.size != 0 ? std::to_string(v.size) : format_float(v.number));
      break;
    case Kind::kString:
      append_quoted(out, v.text());
      break;
    case Kind::kList:
      append_list(out, *v.list);
      break;
    case Kind::kDict:
      append_dict(out, *v.dict);
      break;
    case Kind::kRange:
      append_range(out, *v.range);
      break;
    case Kind::kNamespace:
      out.append("<Namespace ");
      append_dict(out, *v.dict);
      out.append(">");
      break;
    default:
      append_callable(out, v);
  }
  --out.depth;
}

std::string_view to_str(Budget& budget, const Value& v) {
  if (v.is(Kind::kString)) return v.text();
  if (v.is(Kind::kUndefined)) return {};
  Builder out(budget);
  append_repr(out, v);
  return out.finish();
}

}  // namespace polymath::text::jinja
