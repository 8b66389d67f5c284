#include "text/jinja/lines.h"

#include <cstring>

#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

bool ends_line(char32_t c) {
  return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

}  // namespace

List* split_lines(Budget& budget, std::string_view text, bool keep_ends) {
  budget.walk(text.size());
  List* lines = new_list(budget);
  size_t begin = 0, i = 0;
  while (i < text.size()) {
    const CodePoint c = decode_utf8(text.substr(i));
    size_t end = i;
    i += c.bytes;
    if (!ends_line(c.value)) continue;
    if (c.value == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines->items.push_back(string(text.substr(begin, (keep_ends ? i : end) - begin)));
    begin = i;
  }
  if (begin < text.size()) lines->items.push_back(string(text.substr(begin)));
  return lines;
}

std::string_view strip(Budget& budget, std::string_view text, const Stripping& stripping) {
  std::string_view kept = text;
  if (stripping.left) kept = lstrip(kept, stripping.set);
  if (stripping.right) kept = rstrip(kept, stripping.set);
  budget.step((text.size() - kept.size()) / 8 * (1 + stripping.set.size() / 16));
  return kept;
}

size_t find_in(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size() || wanted.size() > text.size() - from) return text.npos;
  if (wanted.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  return found == nullptr ? text.npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t find_last_in(Budget& budget, std::string_view text, std::string_view wanted) {
  const size_t found = text.rfind(wanted);
  const size_t looked_at = text.size() - (found == text.npos ? 0 : found);
  budget.step(1 + looked_at / 64 * (1 + wanted.size() / 8));
  return found;
}

std::string_view replace_all(Budget& budget, std::string_view text, const Replacement& r) {
  budget.scan(text.size());
  Builder out(budget);
  int64_t left = r.count < 0 ? INT64_MAX : r.count;
  size_t at = 0;
  if (r.old_text.empty()) {  // before every character, and at the end
    budget.step(text.size());
    while (left-- > 0) {
      out.append(r.new_text);
      if (at >= text.size()) break;
      const auto bytes = static_cast<size_t>(decode_utf8(text.substr(at)).bytes);
      out.append(text.substr(at, bytes));
      at += bytes;
    }
    out.append(text.substr(at));
    return out.finish();
  }
  bool any = false;
  while (left-- > 0) {
    const size_t found = find_in(text, r.old_text, at);
    if (found == text.npos) break;
    any = true;
    budget.step();
    out.append(text.substr(at, found - at));
    out.append(r.new_text);
    at = found + r.old_text.size();
  }
  if (!any) return text;
  out.append(text.substr(at));
  return out.finish();
}

std::string_view pad(Budget& budget, std::string_view text, const Padding& padding) {
  const auto size = static_cast<int64_t>(length(budget, string(text)));
  if (padding.width <= size) return text;
  const auto total = static_cast<size_t>(padding.width - size);
  budget.expect_room(total);
  // str.center() gives the odd one to the left only if the width is odd, too.
  const size_t left = padding.align == '<' ? 0 : padding.align == '>' ? total : total / 2 + (total & padding.width & 1);
  Builder out(budget);
  out.fill(left, padding.fill);
  out.append(text);
  out.fill(total - left, padding.fill);
  return out.finish();
}

}  // namespace polymath::text::jinja
