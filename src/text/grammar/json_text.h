#pragma once

// JSON's own texts as expressions.

#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/grammar/expr.h"

namespace polymath::text::grammar {

// Blanks stand behind { [ , : and before } ], nowhere else. Each such place takes one of: nothing, a blank, or a line
// end and up to kIndentMax blanks and tabs. So compact, one-line and indented JSON are allowed, and a run of blanks
// ends.
inline constexpr int kIndentMax = 64;

class JsonText {
 public:
  // `whitespace`: a regular expression instead of the default blanks; empty: the default.
  static absl::StatusOr<JsonText> make(ExprPool& pool, std::string_view whitespace, const GrammarLimits& limits);

  ExprId blank() const { return blank_; }
  ExprId comma() const { return comma_; }  // , and blanks
  ExprId colon() const { return colon_; }  // : and blanks
  ExprId string(int least, int most);      // of so many code points, in any spelling
  ExprId string() const { return string_; }
  ExprId number() const { return number_; }
  ExprId integer() const { return integer_; }
  ExprId value() const { return value_; }    // anything
  ExprId object() const { return object_; }  // any
  ExprId array() const { return array_; }    // any
  // {} with these members in it: `members` begins with the first one and ends with the last.
  ExprId braces(ExprId members) const;
  // A value as it is, with blanks where they may be. REQUIRES: no deeper than JsonLimits::depth_max.
  ExprId literal(const base::JsonValue& value) const;

 private:
  explicit JsonText(ExprPool& pool) : pool_(pool) {}
  void make_values();

  ExprPool& pool_;
  ExprId blank_ = kEpsilon, comma_ = kNothing, colon_ = kNothing, char_ = kNothing, string_ = kNothing,
         number_ = kNothing, integer_ = kNothing, value_ = kNothing, object_ = kNothing, array_ = kNothing;
};

// The shortest text of a number; a whole one has no fraction.
std::string number_text(const base::JsonValue& value);

}  // namespace polymath::text::grammar
