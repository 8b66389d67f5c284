#include "text/jinja/unicode.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "text/utf8.h"
#include "utf8proc.h"

namespace polymath::text::jinja {
namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }
char32_t lower(char32_t c) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))); }
char32_t upper(char32_t c) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))); }
char32_t title(char32_t c) { return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))); }

constexpr size_t kFoldMax = 4;  // code points of a case folding; Unicode has at most three
constexpr char32_t kIota = 0x3B9, kIotaBelow = 0x345, kSharpS = 0xDF;

struct Folded {
  utf8proc_int32_t points[kFoldMax];
  size_t count = 0;
};

Folded fold(char32_t c) {
  Folded folded;
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded.points, kFoldMax, UTF8PROC_CASEFOLD,
                                         /*last_boundclass=*/nullptr);
  folded.count = n > 0 && static_cast<size_t>(n) <= kFoldMax ? static_cast<size_t>(n) : 0;
  return folded;
}

void append_folded(std::string& out, char32_t c) {
  const Folded folded = fold(c);
  for (size_t i = 0; i < folded.count; ++i) append_utf8(out, static_cast<char32_t>(folded.points[i]));
  if (folded.count == 0) append_utf8(out, c);
}

// A small letter without one capital is the capitals of its folding.
void append_upper(std::string& out, char32_t c) {
  const Folded folded = fold(c);
  if (folded.count < 2 || is_upper(c)) return append_utf8(out, upper(c));
  for (size_t i = 0; i < folded.count; ++i) append_utf8(out, upper(static_cast<char32_t>(folded.points[i])));
}

void append_title(std::string& out, char32_t c) {
  const Folded folded = fold(c);
  const bool has_own = title(c) != c && c != kSharpS;  // utf8proc makes a letter of it that Python does not
  if (folded.count < 2 || has_own || !is_lower(c)) return append_utf8(out, title(c));
  bool capital = true;  // the first letter that has one
  for (size_t i = 0; i < folded.count; ++i) {
    const auto point = static_cast<char32_t>(folded.points[i]);
    append_utf8(out, capital ? upper(point) : point == kIota ? kIotaBelow : point);
    capital = capital && upper(point) == point;
  }
}

void append_lower(std::string& out, char32_t c) {
  constexpr char32_t kCapitalDottedI = 0x130;  // the one letter that grows
  return c == kCapitalDottedI ? append_folded(out, c) : append_utf8(out, lower(c));
}

// Characters that do not end a word before or behind a sigma. Source: Unicode 15 section 3.13, Case_Ignorable.
bool is_case_ignorable(char32_t c) {
  static constexpr char32_t kWithinWords[] = {'\'',   '.',    ':',    0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                              0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
         k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK ||
         std::find(std::begin(kWithinWords), std::end(kWithinWords), c) != std::end(kWithinWords);
}

// Whether a letter follows before anything else that ends a word.
bool begins_with_letter(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    if (!is_case_ignorable(c.value)) return has_case(c.value);
    text.remove_prefix(c.bytes);
  }
  return false;
}

bool is_stripped(std::string_view character, char32_t c, std::string_view set) {
  return set.data() == nullptr ? is_python_space(c) : set.find(character) != set.npos;
}

// `change(out, c, begins)` appends to `out`; `begins` is true where no letter precedes. `ends_sigmas`: a small
// sigma at a word's end gets its final form.
template <typename Change>
std::string map_characters(std::string_view text, Change change, bool ends_sigmas = true) {
  constexpr char32_t kCapitalSigma = 0x3A3;
  constexpr std::string_view kSigma = "\u03c3", kFinalSigma = "\u03c2";
  std::string out;
  out.reserve(text.size());
  bool begins = true, behind_letter = false;
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    change(out, c.value, begins);
    begins = !has_case(c.value);
    text.remove_prefix(c.bytes);
    if (ends_sigmas && c.value == kCapitalSigma && behind_letter && out.ends_with(kSigma) &&
        !begins_with_letter(text)) {
      out.replace(out.size() - kSigma.size(), kSigma.size(), kFinalSigma);
    }
    if (!is_case_ignorable(c.value)) behind_letter = has_case(c.value);
  }
  return out;
}

}  // namespace

bool is_python_space(char32_t c) { return is_space(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view lstrip(std::string_view text, std::string_view set) {
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    if (!is_stripped(text.substr(0, c.bytes), c.value, set)) break;
    text.remove_prefix(c.bytes);
  }
  return text;
}

std::string_view rstrip(std::string_view text, std::string_view set) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && text.size() - begin < 4 && (text[begin] & 0xC0) == 0x80) --begin;
    const std::string_view last = text.substr(begin);
    if (!is_stripped(last, decode_utf8(last).value, set)) break;
    text.remove_suffix(last.size());
  }
  return text;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  while (at < text.size()) {
    if ((text[at] & 0xC0) != 0x80 && index-- == 0) return at;
    ++at;
  }
  return at;
}

std::string to_lower(std::string_view text) {
  return map_characters(text, [](std::string& out, char32_t c, bool) { append_lower(out, c); });
}

std::string to_upper(std::string_view text) {
  return map_characters(text, [](std::string& out, char32_t c, bool) { append_upper(out, c); });
}

std::string case_fold(std::string_view text) {
  return map_characters(
      text, [](std::string& out, char32_t c, bool) { append_folded(out, c); }, /*ends_sigmas=*/false);
}

std::string capitalize(std::string_view text) {
  bool first = true;
  return map_characters(text, [&](std::string& out, char32_t c, bool) {
    first ? append_title(out, c) : append_lower(out, c);
    first = false;
  });
}

std::string swap_case(std::string_view text) {
  return map_characters(
      text, [](std::string& out, char32_t c, bool) { is_lower(c) ? append_upper(out, c) : append_lower(out, c); });
}

std::string title_case(std::string_view text) {
  return map_characters(
      text, [](std::string& out, char32_t c, bool begins) { begins ? append_title(out, c) : append_lower(out, c); });
}

bool has_case(char32_t c) { return is_lower(c) || is_upper(c) || category(c) == UTF8PROC_CATEGORY_LT; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }

bool is_alphabetic(char32_t c) {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  // Numeric_Type=Digit, which utf8proc does not know. Source: Unicode 15, DerivedNumericType.txt.
  static constexpr std::pair<char32_t, char32_t> kDigits[] = {
      {0xB2, 0xB3},     {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},   {0x2070, 0x2070},
      {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247C},   {0x2488, 0x2490},
      {0x24EA, 0x24EA}, {0x24F5, 0x24FD},   {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},
      {0x278A, 0x2792}, {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
  return is_decimal(c) ||
         std::any_of(std::begin(kDigits), std::end(kDigits), [&](auto& r) { return c >= r.first && c <= r.second; });
}

}  // namespace polymath::text::jinja
