#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/lines.h"

namespace polymath::text::jinja {
namespace {

std::string name_of(const Value& v) { return std::string(type_name(v)); }

[[noreturn]] void unsupported(char op, const Value& a, const Value& b) {
  const std::string symbol = op == kFloorDivide ? "//" : op == kPower ? "**" : std::string(1, op);
  fail(absl::StrCat("unsupported operand type(s) for ", symbol, ": '", name_of(a), "' and '", name_of(b), "'"));
}

[[noreturn]] void overflow() { fail("an integer does not fit in 64 bits"); }

int64_t as_int(const Value& v) { return v.is(Kind::kBool) ? (v.boolean ? 1 : 0) : v.integer; }

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) fail("integer division or modulo by zero");
  if (a == std::numeric_limits<int64_t>::min() && b == -1) overflow();
  const int64_t quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == 0) fail("integer division or modulo by zero");
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0.0 cannot be raised to a negative power");
    return number(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return integer(result);
}

Value integers(char op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case kAdd:
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return integer(result);
    case kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return integer(result);
    case kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return integer(result);
    case kDivide:
      if (b == 0) fail("division by zero");
      return number(static_cast<double>(a) / static_cast<double>(b));
    case kFloorDivide:
      return integer(floor_divide(a, b));
    case kModulo:
      if (b == -1) return integer(0);
      return integer(floor_modulo(a, b));
    default:
      return power(a, b);
  }
}

Value doubles(char op, double a, double b) {
  if (b == 0 && op == kDivide) fail("float division by zero");
  if (b == 0 && (op == kFloorDivide || op == kModulo)) fail("float floor division or modulo by zero");
  switch (op) {
    case kAdd:
      return number(a + b);
    case kSubtract:
      return number(a - b);
    case kMultiply:
      return number(a * b);
    case kDivide:
      return number(a / b);
    case kFloorDivide:
      return number(std::floor(a / b));
    case kModulo: {
      const double rest = std::fmod(a, b);
      return number(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
    default:
      if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
      if (a < 0 && b != std::floor(b)) fail("complex numbers are not supported");
      return number(std::pow(a, b));
  }
}

bool is_sequence(const Value& v) {
  return v.is(Kind::kList) && (v.list->kind == ListKind::kList || v.list->kind == ListKind::kTuple);
}

Value join_lists(Budget& budget, const List& a, const List& b) {
  budget.step((a.items.size() + b.items.size()) / 4);
  List* result = new_list(budget, a.kind);
  result->items.reserve(a.items.size() + b.items.size());
  result->items.insert(result->items.end(), a.items.begin(), a.items.end());
  result->items.insert(result->items.end(), b.items.begin(), b.items.end());
  return list_value(result);
}

Value repeat_text(Budget& budget, std::string_view text, size_t count) {
  if (text.empty() || count == 0) return string({});
  budget.expect_room(count);  // before count * size can overflow
  budget.expect_room(count * text.size());
  Builder out(budget);
  out.fill(count, text);
  return string(out.finish());
}

Value repeat_list(Budget& budget, const List& list, size_t count) {
  List* result = new_list(budget, list.kind);
  if (list.items.empty()) return list_value(result);
  budget.expect_room(count);
  budget.expect_room(count * list.items.size() * sizeof(Value));
  budget.step(count * list.items.size() / 4);
  result->items.reserve(count * list.items.size());
  for (size_t i = 0; i < count; ++i) result->items.insert(result->items.end(), list.items.begin(), list.items.end());
  return list_value(result);
}

Value repeat(Budget& budget, const Value& a, const Value& b) {
  const bool a_counts = a.is(Kind::kInt) || a.is(Kind::kBool);
  const Value &counted = a_counts ? b : a, &times = a_counts ? a : b;
  if (!times.is(Kind::kInt) && !times.is(Kind::kBool)) unsupported(kMultiply, a, b);
  const auto count = static_cast<size_t>(std::max<int64_t>(0, as_int(times)));
  if (counted.is(Kind::kString)) return repeat_text(budget, counted.text(), count);
  if (is_sequence(counted)) return repeat_list(budget, *counted.list, count);
  unsupported(kMultiply, a, b);
}

}  // namespace

Value apply_binary(Budget& budget, char op, const Value& a, const Value& b) {
  budget.step();
  if (is_number(a) && is_number(b)) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return doubles(op, to_double(a), to_double(b));
    return integers(op, as_int(a), as_int(b));
  }
  if (op == kModulo && a.is(Kind::kString)) return string(format_percent(budget, a.text(), b));
  expect_defined(a);
  expect_defined(b);
  if (op == kAdd && a.is(Kind::kString) && b.is(Kind::kString)) return string(budget.concat(a.text(), b.text()));
  if (op == kAdd && is_sequence(a) && is_sequence(b) && a.list->kind == b.list->kind) {
    return join_lists(budget, *a.list, *b.list);
  }
  if (op == kMultiply) return repeat(budget, a, b);
  if (op == kAdd && a.is(Kind::kString)) {
    fail(absl::StrCat("can only concatenate str (not \"", name_of(b), "\") to str"));
  }
  unsupported(op, a, b);
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  switch (container.kind) {
    case Kind::kString: {
      expect_defined(item);
      if (!item.is(Kind::kString)) {
        fail(absl::StrCat("'in <string>' requires string as left operand, not ", name_of(item)));
      }
      budget.scan(container.size);
      return find_in(container.text(), item.text()) != std::string_view::npos;
    }
    case Kind::kDict:
      return find(budget, *container.dict, item) != nullptr;
    case Kind::kUndefined:
      return false;
    case Kind::kList:
    case Kind::kRange:
      break;
    default:
      fail(absl::StrCat("argument of type '", name_of(container), "' is not iterable"));
  }
  for (const Value& element : elements(budget, container)->items) {
    if (equal(budget, element, item)) return true;
  }
  return false;
}

bool apply_comparison(Budget& budget, char op, const Value& a, const Value& b) {
  switch (op) {
    case kEqual:
      return equal(budget, a, b);
    case kNotEqual:
      return !equal(budget, a, b);
    case kIn:
      return contains(budget, b, a);
    case kNotIn:
      return !contains(budget, b, a);
    default:
      break;
  }
  // Not a < b for b <= a: with NaN every order is false.
  const bool has_nan = is_number(a) && is_number(b) && (std::isnan(to_double(a)) || std::isnan(to_double(b)));
  if (has_nan) return false;
  switch (op) {
    case kLess:
      return less(budget, a, b);
    case kGreater:
      return less(budget, b, a);
    case kLessEqual:
      return !less(budget, b, a);
    default:
      return !less(budget, a, b);
  }
}

Value negate(const Value& v) {
  expect_defined(v);
  if (v.is(Kind::kFloat)) return number(-v.number);
  if (!is_number(v)) fail(absl::StrCat("bad operand type for unary -: '", name_of(v), "'"));
  if (as_int(v) == std::numeric_limits<int64_t>::min()) overflow();
  return integer(-as_int(v));
}

}  // namespace polymath::text::jinja
