#pragma once

// Sets of Unicode code points, and their spellings as bytes.

#include <string_view>
#include <utility>
#include <vector>

#include "text/grammar/expr.h"

namespace polymath::text::grammar {

inline constexpr char32_t kCodePointMax = 0x10FFFF;  // Unicode's last; what is above it is cut off

// Sorted ranges [first, last] with gaps between them. Surrogates are never in a set: UTF-8 cannot spell them.
class CodePoints {
 public:
  CodePoints() = default;
  static CodePoints range(char32_t first, char32_t last);
  static CodePoints of(std::string_view ascii);
  static CodePoints all() { return range(0, kCodePointMax); }

  CodePoints& operator|=(const CodePoints& other);
  CodePoints inverse() const;
  CodePoints both(const CodePoints& other) const;
  CodePoints without(const CodePoints& other) const { return both(other.inverse()); }
  bool has(char32_t c) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<std::pair<char32_t, char32_t>>& ranges() const { return ranges_; }

 private:
  void tidy();
  std::vector<std::pair<char32_t, char32_t>> ranges_;
};

// One code point of the set, in UTF-8.
ExprId utf8_of(ExprPool& pool, const CodePoints& set);

// One code point of the set inside of a JSON string, each in one spelling. That is the code point itself. Where JSON
// asks for an escape, it is the shortest one, with lower-case digits.
ExprId json_char_of(ExprPool& pool, const CodePoints& set);
std::string json_quoted(std::string_view text);  // in this spelling, with its quotes. REQUIRES: UTF-8

// One code point in any spelling that JSON has, as long as it is no half of a surrogate pair.
ExprId any_json_char(ExprPool& pool);

// The code points of a general category ("Lu") or of a group of them ("L"). False: no such name.
bool category_of(std::string_view name, CodePoints& out);

}  // namespace polymath::text::grammar
