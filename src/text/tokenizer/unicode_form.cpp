#include "text/tokenizer/unicode_form.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"
#include "utf8proc.h"

namespace polymath::text {
namespace {

constexpr int kDecompositionMax = 32;  // code points of one character's full decomposition; Unicode's longest is 18

// A character of the new text.
struct FormPoint {
  utf8proc_int32_t value;
  int change;  // 1: it is one more than the old text has; -n: n more of the old text went into it
};

int mark_class(utf8proc_int32_t c) {
  return c < 0x300 ? 0 : static_cast<int>(utf8proc_get_property(c)->combining_class);
}

// Characters in canonical order: marks between two starters, sorted by class, equal ones as they stood.
void order_marks(std::vector<FormPoint>& points) {
  for (size_t i = 0; i < points.size();) {
    if (mark_class(points[i].value) == 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < points.size() && mark_class(points[end].value) != 0) ++end;
    if (end - i > 1) {
      std::stable_sort(points.begin() + i, points.begin() + end, [](const FormPoint& a, const FormPoint& b) {
        return mark_class(a.value) < mark_class(b.value);
      });
    }
    i = end;
  }
}

std::vector<FormPoint> decompose(std::string_view text, bool compatible) {
  const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
  std::vector<FormPoint> points;
  points.reserve(text.size() + kDecompositionMax);
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    i += c.bytes;
    if (c.value < 0x80) {
      points.push_back({static_cast<utf8proc_int32_t>(c.value), 0});
      continue;
    }
    utf8proc_int32_t parts[kDecompositionMax];
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), parts, kDecompositionMax,
                                           static_cast<utf8proc_option_t>(options), &boundary);
    CHECK(n >= 0 && n <= kDecompositionMax);
    for (utf8proc_ssize_t k = 0; k < n; ++k) points.push_back({parts[k], k > 0 ? 1 : 0});
  }
  order_marks(points);
  return points;
}

// What two characters compose to; 0: nothing.
utf8proc_int32_t composed(utf8proc_int32_t first, utf8proc_int32_t second) {
  utf8proc_int32_t pair[2] = {first, second};
  const auto n = utf8proc_normalize_utf32(pair, 2, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  return n == 1 ? pair[0] : 0;
}

// A starter takes up what follows it, unless a mark of the same class or a higher one is between.
std::vector<FormPoint> compose(const std::vector<FormPoint>& points) {
  std::vector<FormPoint> out;
  constexpr size_t kNone = SIZE_MAX;
  size_t starter = kNone;  // in `out`
  int last_class = -1;     // of what is behind it; -1: nothing
  for (const FormPoint& point : points) {
    const int own_class = mark_class(point.value);
    if (starter != kNone && (last_class < own_class || last_class == -1)) {
      if (const utf8proc_int32_t one = composed(out[starter].value, point.value); one != 0) {
        out[starter] = {one, out[starter].change + point.change - 1};
        continue;
      }
    }
    if (own_class == 0) starter = out.size();
    last_class = own_class == 0 ? -1 : own_class;
    out.push_back(point);
  }
  return out;
}

AlignedText tracked_form(const AlignedText& from, UnicodeForm form) {
  const bool composes = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  std::vector<FormPoint> points = decompose(from.text, form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd);
  if (composes) points = compose(points);
  Rewrite out(from);
  size_t at = 0;
  const auto next_bytes = [&] {
    const size_t bytes = at < from.text.size() ? decode_utf8(std::string_view(from.text).substr(at)).bytes : 0;
    at += bytes;
    return bytes;
  };
  std::string character;
  for (const FormPoint& point : points) {
    character.clear();
    append_utf8(character, static_cast<char32_t>(point.value));
    if (point.change > 0) {
      out.add(character);
      continue;
    }
    out.replace(character, next_bytes());
    for (int i = point.change; i < 0; ++i) out.drop(next_bytes());
  }
  return out.take();
}

}  // namespace

AlignedText to_unicode_form(const AlignedText& from, UnicodeForm form) {
  if (is_ascii(from.text)) return from;
  if (from.tracked) return tracked_form(from, form);
  std::vector<utf8proc_int32_t> points;
  for (const FormPoint& point : decompose(from.text, form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd)) {
    points.push_back(point.value);
  }
  utf8proc_ssize_t n = static_cast<utf8proc_ssize_t>(points.size());
  if (form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc) {
    n = utf8proc_normalize_utf32(points.data(), n, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    CHECK(n >= 0);
  }
  AlignedText out;
  out.text.reserve(from.text.size());
  for (utf8proc_ssize_t i = 0; i < n; ++i) append_utf8(out.text, static_cast<char32_t>(points[i]));
  return out;
}

AlignedText to_lowercase(const AlignedText& from) {
  const std::string_view text(from.text);
  Rewrite out(from);
  std::string character;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    const auto bytes = static_cast<size_t>(c.bytes);
    i += bytes;
    if (c.value == 0x130) {  // the one character whose small form is two
      out.replace("i", bytes);
      out.add("\xCC\x87");
      continue;
    }
    character.clear();
    append_utf8(character, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
    out.replace(character, bytes);
  }
  return out.take();
}

AlignedText without_accents(const AlignedText& from) {
  const std::string_view text(from.text);
  Rewrite out(from);
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    const auto bytes = static_cast<size_t>(c.bytes);
    if (is_mark(c.value)) {
      out.drop(bytes);
    } else {
      out.keep(bytes);
    }
    i += bytes;
  }
  return out.take();
}

}  // namespace polymath::text
