#pragma once

// Reasoning before the text of a grammar.

#include <span>
#include <string>

#include "text/grammar/expr.h"
#include "text/grammar/spec.h"

namespace polymath::text::grammar {

// The form behind its preamble. `specials`: as FreeText's.
ExprId behind_preamble(ExprPool& pool, const Preamble& preamble, std::span<const std::string> specials, ExprId form);

}  // namespace polymath::text::grammar
