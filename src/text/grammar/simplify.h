#pragma once

// What a grammar needs before its automaton runs.

#include "base/status.h"
#include "text/grammar/expr.h"

namespace polymath::text::grammar {

// Removes alternatives from which no text can be completed. Returns the new root; kNothing: no text is left.
ExprId without_dead_ends(ExprPool& pool, ExprId root);

// kUnimplemented: a rule calls itself before any byte is written.
absl::Status check_left_recursion(const ExprPool& pool, ExprId root);

}  // namespace polymath::text::grammar
