#include "text/grammar/json_text.h"

#include <charconv>
#include <cmath>

#include "text/grammar/code_points.h"
#include "text/grammar/grammar.h"
#include "text/grammar/languages.h"
#include "text/grammar/regex_language.h"

namespace polymath::text::grammar {
namespace {

constexpr int kExponentDigitsMax = 2;  // larger and smaller numbers are written without one

ExprId default_blank(ExprPool& pool) {
  const ExprId indent = pool.repeat(pool.bytes(ByteSet::of(" \t")), 0, kIndentMax);
  const ExprId line = pool.concat({pool.optional(pool.text("\r")), pool.text("\n"), indent});
  return pool.alt({kEpsilon, pool.text(" "), line});
}

}  // namespace

absl::StatusOr<JsonText> JsonText::make(ExprPool& pool, std::string_view whitespace, const GrammarLimits& limits) {
  JsonText json(pool);
  json.blank_ = default_blank(pool);
  if (!whitespace.empty()) {
    const RegexLimits bounds{limits.pattern_bytes_max, limits.depth_max, limits.repeat_max};
    ASSIGN_OR_RETURN(const RegexNode node, parse_regex(whitespace, bounds));
    ASSIGN_OR_RETURN(json.blank_, regex_language(pool, node, plain_spelling(), /*search=*/false));
    const ExprId blanks = pool.repeat(pool.bytes(ByteSet::of(" \t\r\n")), 0, kUnbounded);
    const ExprId others = pool.both({json.blank_, pool.inverse(blanks)});
    if (pool.alive(others)) {
      return absl::InvalidArgumentError("the whitespace pattern matches more than blanks, tabs and line ends");
    }
  }
  json.make_values();
  return json;
}

void JsonText::make_values() {
  comma_ = pool_.concat(pool_.text(","), blank_);
  colon_ = pool_.concat(pool_.text(":"), blank_);
  char_ = any_json_char(pool_);
  string_ = string(0, kUnbounded);
  const ExprId digit = pool_.bytes(ByteSet::range('0', '9'));
  const ExprId digits = pool_.repeat(digit, 1, kUnbounded);
  const ExprId from_one = pool_.concat(pool_.bytes(ByteSet::range('1', '9')), pool_.repeat(digit, 0, kUnbounded));
  integer_ = pool_.concat(pool_.optional(pool_.text("-")), pool_.alt({pool_.text("0"), from_one}));
  const ExprId sign = pool_.optional(pool_.bytes(ByteSet::of("+-")));
  const ExprId exponent =
      pool_.concat({pool_.bytes(ByteSet::of("eE")), sign, pool_.repeat(digit, 1, kExponentDigitsMax)});
  number_ = pool_.concat({integer_, pool_.optional(pool_.concat(pool_.text("."), digits)), pool_.optional(exponent)});

  const int value_rule = pool_.new_rule();
  value_ = pool_.rule(value_rule);
  const ExprId member = pool_.concat({string_, colon_, value_});
  object_ = braces(pool_.concat(member, pool_.repeat(pool_.concat(comma_, member), 0, kUnbounded)));
  object_ = pool_.alt({object_, braces(kEpsilon)});
  const ExprId items = pool_.concat({value_, pool_.repeat(pool_.concat(comma_, value_), 0, kUnbounded), blank_});
  array_ = pool_.concat({pool_.text("["), blank_, pool_.optional(items), pool_.text("]")});
  const ExprId words = pool_.any_of({"null", "true", "false"});
  pool_.set_rule(value_rule, pool_.alt({pool_.alt({words, string_, number_}), object_, array_}));
}

ExprId JsonText::string(int least, int most) {
  return pool_.concat({pool_.text("\""), pool_.repeat(char_, least, most), pool_.text("\"")});
}

ExprId JsonText::braces(ExprId members) const {
  if (members == kEpsilon) return pool_.concat({pool_.text("{"), blank_, pool_.text("}")});
  return pool_.concat({pool_.text("{"), blank_, members, blank_, pool_.text("}")});
}

ExprId JsonText::literal(const base::JsonValue& value) const {
  if (value.is_null()) return pool_.text("null");
  if (value.is_bool()) return pool_.text(value.get_bool() ? "true" : "false");
  if (value.is_number()) return pool_.text(number_text(value));
  if (value.is_string()) return pool_.text(json_quoted(value.get_string()));
  ExprId inside = kEpsilon;
  if (value.is_array()) {
    const auto& items = value.get_array();
    for (size_t i = items.size(); i-- > 0;) {
      inside = pool_.concat(literal(items[i]), inside);
      if (i > 0) inside = pool_.concat(comma_, inside);
    }
    if (!items.empty()) inside = pool_.concat(inside, blank_);
    return pool_.concat({pool_.text("["), blank_, inside, pool_.text("]")});
  }
  const auto& object = value.get_object();
  for (auto member = object.end(); member != object.begin();) {
    --member;
    inside = pool_.concat({pool_.text(json_quoted(member->key())), colon_, literal(member->value()), inside});
    if (member != object.begin()) inside = pool_.concat(comma_, inside);
  }
  return braces(inside);
}

std::string number_text(const base::JsonValue& value) {
  char buffer[32];
  std::to_chars_result end{};
  if (value.is_int64()) {
    end = std::to_chars(buffer, std::end(buffer), value.get_int64());
  } else if (value.is_uint64()) {
    end = std::to_chars(buffer, std::end(buffer), value.get_uint64());
  } else {
    end = std::to_chars(buffer, std::end(buffer), value.get_double());
  }
  return {buffer, end.ptr};
}

absl::StatusOr<ExprId> read_json_object(const Spec& spec, const GrammarLimits& limits, ExprPool& pool) {
  ASSIGN_OR_RETURN(const JsonText json, JsonText::make(pool, spec.whitespace, limits));
  return json.object();
}

absl::StatusOr<ExprId> read_choices(const Spec& spec, const GrammarLimits& limits, ExprPool& pool) {
  ASSIGN_OR_RETURN(const base::JsonValue list, base::parse_json(spec.source, {.depth_max = 2}));
  if (!list.is_array() || list.get_array().empty()) {
    return absl::InvalidArgumentError("choices must be an array of strings, with at least one");
  }
  std::vector<std::string> texts;
  for (const base::JsonValue& item : list.get_array()) {
    if (!item.is_string()) return absl::InvalidArgumentError("choices must be strings");
    texts.emplace_back(item.get_string());
  }
  if (texts.size() > static_cast<size_t>(limits.choices_max)) {
    return absl::InvalidArgumentError("there are too many choices");
  }
  return pool.any_of(std::move(texts));
}

}  // namespace polymath::text::grammar
