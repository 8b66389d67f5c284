// The tests of `is`.

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

const Value& argument(const Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty()) fail("this test takes one argument");
  return arguments.positional[0];
}

void expect_none(const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty()) fail("this test takes no argument");
}

template <bool (*predicate)(const Value&)>
bool unary(Context&, const Value& v, const Arguments& arguments) {
  expect_none(arguments);
  return predicate(v);
}

template <char op>
bool compare(Context& context, const Value& v, const Arguments& arguments) {
  return apply_comparison(context.budget(), op, v, argument(arguments));
}

template <Kind kind>
bool is_kind(const Value& v) {
  return v.is(kind);
}
bool is_defined(const Value& v) { return !v.is(Kind::kUndefined); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.boolean; }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.boolean; }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool never(const Value&) { return false; }

// What has both len() and [].
bool is_sequence(const Value& v) {
  if (v.is(Kind::kList)) {
    return v.list->kind == ListKind::kList || v.list->kind == ListKind::kTuple || v.list->kind == ListKind::kGroup;
  }
  return v.is(Kind::kString) || v.is(Kind::kDict) || v.is(Kind::kRange) || v.is(Kind::kUndefined);
}

bool is_callable(const Value& v) {
  return v.is(Kind::kMacro) || v.is(Kind::kMethod) || v.is(Kind::kGlobal) || v.is(Kind::kJoiner) || v.is(Kind::kLoop) ||
         v.is(Kind::kUndefined);
}

bool is_multiple(Context& context, const Value& v, int64_t divisor) {
  return equal(context.budget(), apply_binary(context.budget(), kModulo, v, integer(divisor)), integer(0));
}

bool odd(Context& context, const Value& v, const Arguments& arguments) {
  expect_none(arguments);
  return equal(context.budget(), apply_binary(context.budget(), kModulo, v, integer(2)), integer(1));
}

bool even(Context& context, const Value& v, const Arguments& arguments) {
  expect_none(arguments);
  return is_multiple(context, v, 2);
}

bool divisible_by(Context& context, const Value& v, const Arguments& arguments) {
  return is_multiple(context, v, expect_integer(argument(arguments), "divisibleby's argument"));
}

bool same_as(Context& context, const Value& v, const Arguments& arguments) {
  const Value& other = argument(arguments);
  if (v.kind != other.kind) return false;
  if (v.is(Kind::kList)) return v.list == other.list;
  if (v.is(Kind::kDict)) return v.dict == other.dict;
  return equal(context.budget(), v, other);
}

template <bool upper>
bool has_only_case(Context& context, const Value& v, const Arguments& arguments) {
  expect_none(arguments);
  bool any = false;
  std::string_view text = to_str(context.budget(), v);
  context.budget().walk(text.size());
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    if (upper ? is_lower(c.value) : is_upper(c.value)) return false;
    any = any || has_case(c.value);
    text.remove_prefix(c.bytes);
  }
  return any;
}

bool names_filter(Context&, const Value& v, const Arguments& arguments) {
  expect_none(arguments);
  return v.is(Kind::kString) && is_filter(v.text());
}

bool names_test(Context&, const Value& v, const Arguments& arguments) {
  expect_none(arguments);
  return v.is(Kind::kString) && is_test(v.text());
}

constexpr std::pair<std::string_view, Test> kTests[] = {
    {"defined", unary<is_defined>},
    {"undefined", unary<is_kind<Kind::kUndefined>>},
    {"none", unary<is_kind<Kind::kNone>>},
    {"string", unary<is_kind<Kind::kString>>},
    {"number", unary<is_number>},
    {"integer", unary<is_integer>},
    {"float", unary<is_kind<Kind::kFloat>>},
    {"boolean", unary<is_kind<Kind::kBool>>},
    {"true", unary<is_true>},
    {"false", unary<is_false>},
    {"mapping", unary<is_mapping>},
    {"iterable", unary<is_iterable>},
    {"sequence", unary<is_sequence>},
    {"callable", unary<is_callable>},
    {"escaped", unary<never>},
    {"odd", odd},
    {"even", even},
    {"divisibleby", divisible_by},
    {"sameas", same_as},
    {"lower", has_only_case<false>},
    {"upper", has_only_case<true>},
    {"filter", names_filter},
    {"test", names_test},
    {"in", compare<kIn>},
    {"==", compare<kEqual>},
    {"eq", compare<kEqual>},
    {"equalto", compare<kEqual>},
    {"!=", compare<kNotEqual>},
    {"ne", compare<kNotEqual>},
    {"<", compare<kLess>},
    {"lt", compare<kLess>},
    {"lessthan", compare<kLess>},
    {"<=", compare<kLessEqual>},
    {"le", compare<kLessEqual>},
    {">", compare<kGreater>},
    {"gt", compare<kGreater>},
    {"greaterthan", compare<kGreater>},
    {">=", compare<kGreaterEqual>},
    {"ge", compare<kGreaterEqual>},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const auto& [known, test] : kTests) {
    if (known == name) return test;
  }
  return nullptr;
}

}  // namespace polymath::text::jinja
