#include "text/jinja/unicode.h"

#include "text/utf8.h"
#include "utf8proc.h"

namespace polymath::text::jinja {
namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }
char32_t lower(char32_t c) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))); }
char32_t upper(char32_t c) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))); }
char32_t title(char32_t c) { return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))); }

bool is_stripped(std::string_view character, char32_t c, std::string_view set) {
  return set.data() == nullptr ? is_python_space(c) : set.find(character) != set.npos;
}

// `change(c, begins)`: `begins` is true where no letter precedes.
template <typename Change>
std::string map_characters(std::string_view text, Change change) {
  std::string out;
  out.reserve(text.size());
  bool begins = true;
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    append_utf8(out, change(c.value, begins));
    begins = !has_case(c.value);
    text.remove_prefix(c.bytes);
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
  return map_characters(text, [](char32_t c, bool) { return lower(c); });
}

std::string to_upper(std::string_view text) {
  return map_characters(text, [](char32_t c, bool) { return upper(c); });
}

std::string capitalize(std::string_view text) {
  bool first = true;
  return map_characters(text, [&](char32_t c, bool) {
    const char32_t changed = first ? title(c) : lower(c);
    first = false;
    return changed;
  });
}

std::string swap_case(std::string_view text) {
  return map_characters(text, [](char32_t c, bool) { return is_lower(c) ? upper(c) : lower(c); });
}

std::string title_case(std::string_view text) {
  return map_characters(text, [](char32_t c, bool begins) { return begins ? title(c) : lower(c); });
}

bool has_case(char32_t c) { return is_lower(c) || is_upper(c) || category(c) == UTF8PROC_CATEGORY_LT; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }

bool is_alphabetic(char32_t c) {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

}  // namespace polymath::text::jinja
