#include "text/tokenizer/unicode_form.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"
#include "utf8proc.h"

namespace polymath::text {
namespace {

constexpr int kDecompositionMax = 32;  // code points of one character's full decomposition; Unicode's longest is 18

// Characters in canonical order: marks between two starters, sorted by class, equal ones as they stood.
void order_marks(std::vector<utf8proc_int32_t>& points) {
  const auto mark_class = [](utf8proc_int32_t c) {
    return c < 0x300 ? 0 : static_cast<int>(utf8proc_get_property(c)->combining_class);
  };
  for (size_t i = 0; i < points.size();) {
    if (mark_class(points[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < points.size() && mark_class(points[end]) != 0) ++end;
    if (end - i > 1) {
      std::stable_sort(points.begin() + i, points.begin() + end,
                       [&](auto a, auto b) { return mark_class(a) < mark_class(b); });
    }
    i = end;
  }
}

}  // namespace

std::string to_unicode_form(std::string_view text, UnicodeForm form) {
  if (is_ascii(text)) return std::string(text);
  int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size() + kDecompositionMax);
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    i += c.bytes;
    if (c.value < 0x80) {
      points.push_back(static_cast<utf8proc_int32_t>(c.value));
      continue;
    }
    const size_t old = points.size();
    points.resize(old + kDecompositionMax);
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), points.data() + old,
                                           kDecompositionMax, static_cast<utf8proc_option_t>(options), &boundary);
    CHECK(n >= 0 && n <= kDecompositionMax);
    points.resize(old + n);
  }
  order_marks(points);
  utf8proc_ssize_t n = static_cast<utf8proc_ssize_t>(points.size());
  if (form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc) {
    n = utf8proc_normalize_utf32(points.data(), n, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    CHECK(n >= 0);
  }
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < n; ++i) append_utf8(out, static_cast<char32_t>(points[i]));
  return out;
}

std::string to_lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    i += c.bytes;
    if (c.value == 0x130) {  // the one character whose small form is two
      out += "i\xCC\x87";
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
    }
  }
  return out;
}

std::string without_accents(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    if (!is_mark(c.value)) out.append(text.substr(i, c.bytes));
    i += c.bytes;
  }
  return out;
}

}  // namespace polymath::text
