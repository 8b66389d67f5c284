#pragma once

// Strings and numbers of a schema's shape as expressions.

#include "base/status.h"
#include "text/grammar/json_text.h"
#include "text/grammar/schema_shape.h"

namespace polymath::text::grammar {

// With their quotes. Under a pattern or a format each string has one spelling; else any that JSON has.
absl::StatusOr<ExprId> string_language(ExprPool& pool, JsonText& json, const Shape& shape, const GrammarLimits& limits);

// The same, always in one spelling, so that unequal texts are unequal strings.
absl::StatusOr<ExprId> plain_string_language(ExprPool& pool, const Shape& shape, const GrammarLimits& limits);

// Under a bound or multipleOf without an exponent, and with at most kFractionDigitsMax digits behind the point.
inline constexpr int kFractionDigitsMax = 15;
absl::StatusOr<ExprId> number_language(ExprPool& pool, JsonText& json, const Shape& shape);

// The pattern of a format; empty: it is not known. "": it asks for nothing that a text can break.
std::optional<std::string_view> format_pattern(std::string_view name);

// A pattern of JSON Schema, found anywhere in a string. With quotes, in one spelling.
absl::StatusOr<ExprId> pattern_language(ExprPool& pool, std::string_view pattern, const GrammarLimits& limits);

}  // namespace polymath::text::grammar
