#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "text/jinja/format.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

constexpr int kDepthMax = 200;  // of a value that is written out; deeper: TemplateError

std::string escape_unit(unsigned unit) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "\\u%04x", unit);
  return buffer;
}

// Empty: the character stands for itself.
std::string escape(char32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (c < 0x20) return escape_unit(c);
  if (c < 0x7F || !ensure_ascii) return "";
  if (c < 0x10000) return escape_unit(c);
  return escape_unit(0xD800 + ((c - 0x10000) >> 10)) + escape_unit(0xDC00 + ((c - 0x10000) & 0x3FF));
}

void append_string(Builder& out, std::string_view text, bool ensure_ascii) {
  out.budget().step(text.size() / 16);
  out.append("\"");
  size_t plain = 0, i = 0;  // text[plain, i) waits to be written as it is
  while (i < text.size()) {
    const CodePoint c = decode_utf8(text.substr(i));
    const std::string escaped = escape(c.value, ensure_ascii);
    if (!escaped.empty()) {
      out.append(text.substr(plain, i - plain));
      out.append(escaped);
      plain = i + c.bytes;
    }
    i += c.bytes;
  }
  out.append(text.substr(plain));
  out.append("\"");
}

void append_number(Builder& out, double f) {
  if (std::isnan(f)) return out.append("NaN");
  if (std::isinf(f)) return out.append(f > 0 ? "Infinity" : "-Infinity");
  out.append(format_float(f));
}

void append_key(Builder& out, const Value& key, bool ensure_ascii) {
  if (key.is(Kind::kString)) return append_string(out, key.text(), ensure_ascii);
  if (!is_number(key) && !key.is(Kind::kNone)) {
    const std::string_view type = type_name(key);
    fail("keys must be str, int, float, bool or None, not " + std::string(type));
  }
  out.append("\"");
  append_json(out, key, {});
  out.append("\"");
}

void new_line(Builder& out, const JsonStyle& style) {
  if (!style.pretty) return;
  out.append("\n");
  out.fill(out.depth, style.indent);
}

void append_list(Builder& out, const List& list, const JsonStyle& style) {
  if (list.items.empty()) return out.append("[]");
  out.append("[");
  ++out.depth;
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(style.item_separator);
    new_line(out, style);
    append_json(out, list.items[i], style);
  }
  --out.depth;
  new_line(out, style);
  out.append("]");
}

void append_dict(Builder& out, const Dict& dict, const JsonStyle& style) {
  if (dict.entries.empty()) return out.append("{}");
  std::vector<const std::pair<Value, Value>*> order;
  for (const auto& entry : dict.entries) order.push_back(&entry);
  if (style.sort_keys) {
    std::stable_sort(order.begin(), order.end(),
                     [&](const auto* a, const auto* b) { return less(out.budget(), a->first, b->first); });
  }
  out.append("{");
  ++out.depth;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0) out.append(style.item_separator);
    new_line(out, style);
    append_key(out, order[i]->first, style.ensure_ascii);
    out.append(style.key_separator);
    append_json(out, order[i]->second, style);
  }
  --out.depth;
  new_line(out, style);
  out.append("}");
}

}  // namespace

void append_json(Builder& out, const Value& v, const JsonStyle& style) {
  out.budget().step();
  if (out.depth > kDepthMax) fail("a value is nested too deeply to be written out");
  switch (v.kind) {
    case Kind::kNone:
      return out.append("null");
    case Kind::kBool:
      return out.append(v.boolean ? "true" : "false");
    case Kind::kInt:
      return out.append(std::to_string(v.integer));
    case Kind::kFloat:
      return v.size != 0 ? out.append(std::to_string(v.size)) : append_number(out, v.number);
    case Kind::kString:
      return append_string(out, v.text(), style.ensure_ascii);
    case Kind::kDict:
      return append_dict(out, *v.dict, style);
    case Kind::kList:
      if (v.list->kind == ListKind::kList || v.list->kind == ListKind::kTuple || v.list->kind == ListKind::kGroup) {
        return append_list(out, *v.list, style);
      }
      break;
    default:
      break;
  }
  const std::string_view type = type_name(v);
  fail("Object of type " + std::string(type) + " is not JSON serializable");
}

}  // namespace polymath::text::jinja
