#pragma once

// A regular expression's tree -> an expression over bytes.
//
// Where a pattern is searched for (JSON Schema), anything may precede and follow it, unless ^ and $ say no. A lookahead
// is an intersection with the rest of the text. So nothing but the text's end may lie behind its sequence.

#include "base/status.h"
#include "text/grammar/expr.h"
#include "text/grammar/regex_syntax.h"

namespace polymath::text::grammar {

// How a text is spelled in bytes.
struct Spelling {
  ExprId (*one_of)(ExprPool& pool, const CodePoints& set);  // one code point of a set
  ExprId open, close;                                       // around the text: quotes, or kEpsilon
};
Spelling plain_spelling();
Spelling json_spelling(ExprPool& pool);

// `search`: the pattern may be found anywhere in the text. kUnimplemented: an anchor or a lookahead in the middle.
absl::StatusOr<ExprId> regex_language(ExprPool& pool, const RegexNode& node, const Spelling& spelling, bool search);

}  // namespace polymath::text::grammar
