#include "base/printable.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_format.h"

namespace polymath::base {
namespace {

struct Character {
  uint32_t code = 0;
  size_t n_bytes = 0;  // 0: not UTF-8
};

// A lead byte: its marker and the bits of it, the bytes in all, the least code of that length.
struct Lead {
  unsigned char mask, marker;
  size_t n_bytes;
  uint32_t least;
};
constexpr Lead kLeads[] = {{0x80, 0x00, 1, 0}, {0xE0, 0xC0, 2, 0x80}, {0xF0, 0xE0, 3, 0x800}, {0xF8, 0xF0, 4, 0x10000}};

Character character_at(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  for (const Lead& lead : kLeads) {
    if ((first & lead.mask) != lead.marker) continue;
    if (at + lead.n_bytes > text.size()) return {};
    uint32_t code = first & static_cast<unsigned char>(~lead.mask);
    for (size_t i = 1; i < lead.n_bytes; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      if ((next & 0xC0) != 0x80) return {};
      code = code << 6 | (next & 0x3Fu);
    }
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < lead.least || code > 0x10FFFF || surrogate) return {};
    return {code, lead.n_bytes};
  }
  return {};
}

// Ranges of characters that are not printed as they are.
struct Range {
  uint32_t first, last;
};
constexpr Range kEscaped[] = {
    {0x00, 0x1F},      // C0
    {0x7F, 0x9F},      // DEL and C1
    {0x061C, 0x061C},  // Arabic letter mark
    {0x200E, 0x200F},  // left-to-right and right-to-left marks
    {0x2028, 0x202E},  // separators; embeddings and overrides
    {0x2066, 0x2069},  // isolates
};

bool is_escaped(uint32_t code) {
  for (const Range& range : kEscaped) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (c.n_bytes == 0) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(text[at++]));
      continue;
    }
    if (!is_escaped(c.code)) {
      out.append(text.substr(at, c.n_bytes));
    } else if (c.n_bytes == 1) {
      absl::StrAppendFormat(&out, "\\x%02x", c.code);
    } else {
      absl::StrAppendFormat(&out, "\\u%04x", c.code);
    }
    at += c.n_bytes;
  }
  return out;
}

}  // namespace polymath::base
