#pragma once

// The front ends: a source becomes expressions and rules. A line for each Language of grammar.h.
//
// kInvalidArgument: the source is wrong or beyond a limit. kUnimplemented: a feature, by name.

#include "base/status.h"
#include "text/grammar/grammar.h"

namespace polymath::text::grammar {

absl::StatusOr<ExprId> read_json_object(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);
absl::StatusOr<ExprId> read_json_schema(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);
absl::StatusOr<ExprId> read_regex(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);
absl::StatusOr<ExprId> read_ebnf(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);
absl::StatusOr<ExprId> read_choices(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);
absl::StatusOr<ExprId> read_structural_tag(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);

}  // namespace polymath::text::grammar
