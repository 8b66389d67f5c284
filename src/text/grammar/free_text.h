#pragma once

// Text of any kind, up to given marks, and the marks as a model writes them.
//
//   FreeText text(pool, specials);
//   ExprId thinking = text.up_to({"</think>"});   // whatever comes before the first </think>, and that mark
//
// Free text holds no special token. A mark that is or has a special token's text is written with that token.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar/expr.h"

namespace polymath::text::grammar {

class FreeText {
 public:
  // `specials`: texts of special tokens, the longer ones first. REQUIRES: both outlive this.
  FreeText(ExprPool& pool, std::span<const std::string> specials);

  ExprId any() const { return any_text_; }
  // With kSpecialMark before each special token.
  std::string spelled(std::string_view text) const;
  ExprId written(std::string_view text) { return pool_.text(spelled(text)); }
  // Text with none of these in it, however it is written.
  ExprId without(const std::vector<std::string>& marks);
  // Text whose first one of `marks` is its end, and is `last`.
  ExprId up_to(const std::vector<std::string>& marks, const std::string& last);
  // Text whose first one of `marks` is its end.
  ExprId up_to(const std::vector<std::string>& marks);

 private:
  ExprId any_spelling(const std::vector<std::string>& marks);

  ExprPool& pool_;
  const std::span<const std::string> specials_;
  ExprId any_byte_ = kNothing, any_text_ = kNothing;
};

}  // namespace polymath::text::grammar
