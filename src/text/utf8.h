#pragma once

// UTF-8, one code point at a time, and the Unicode classes that tokenizers ask for.
//
// Everything behind sanitize_utf8() may take its text as valid; decode_utf8() survives any bytes all the same.
// Sources: Unicode 15 section 3.9 (maximal subparts); utf8proc.

#include <cstdint>
#include <string>
#include <string_view>

namespace polymath::text {

inline constexpr char32_t kReplacement = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

struct CodePoint {
  char32_t value = 0;
  int bytes = 0;      // consumed; of an invalid sequence: its maximal subpart, at least 1
  bool valid = true;  // false: value is U+FFFD
  bool open = false;  // invalid only because the text ends within it
};

// REQUIRES: !text.empty().
CodePoint decode_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t c);

// Every maximal subpart of an invalid sequence becomes one U+FFFD.
std::string sanitize_utf8(std::string_view text);

// Bytes of the character that starts with `lead`, in valid UTF-8.
inline int utf8_length(char lead) {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

bool is_ascii(std::string_view text);
bool is_space(char32_t c);        // White_Space
bool is_numeric(char32_t c);      // Nd, Nl, No
bool is_punctuation(char32_t c);  // P*, and ASCII's own
bool is_word(char32_t c);         // Alphabetic, M, Nd, Pc, joiners
bool is_mark(char32_t c);         // Mn, Mc, Me

}  // namespace polymath::text
