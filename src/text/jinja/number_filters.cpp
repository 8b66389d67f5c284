// Filters about numbers: int, float, round, abs, and those that count.

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

constexpr size_t kNumeralMax = 400;  // bytes of a text that is read as a number; a longer one is none

// Digits with single underscores between them lose these; nullopt: underscores elsewhere.
std::optional<std::string> join_digits(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
      continue;
    }
    const auto digit = [&](size_t k) { return k < text.size() && std::isxdigit(static_cast<unsigned char>(text[k])); };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
  }
  return out;
}

// int(text, base) of Python; nullopt: not such a number.
std::optional<int64_t> read_integer(std::string_view raw, int64_t base) {
  const auto joined = join_digits(rstrip(lstrip(raw)));
  if (!joined || joined->size() > kNumeralMax || base < 2 || base > 36) return std::nullopt;
  std::string_view text = *joined;
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  const char letter = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 32) : 0;
  if ((base == 16 && letter == 'x') || (base == 8 && letter == 'o') || (base == 2 && letter == 'b'))
    text.remove_prefix(2);
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, static_cast<int>(base));
  if (text.empty() || result.ptr != end) return std::nullopt;
  if (result.ec != std::errc() || value > INT64_MAX) fail("an integer does not fit in 64 bits");
  return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

// float(text) of Python.
std::optional<double> read_float(std::string_view raw) {
  const auto joined = join_digits(rstrip(lstrip(raw)));
  if (!joined || joined->empty() || joined->size() > kNumeralMax) return std::nullopt;
  if (joined->find_first_of("xXpP(") != std::string::npos) return std::nullopt;  // strtod reads more than Python
  char* end = nullptr;
  const double value = std::strtod(joined->c_str(), &end);
  if (end != joined->c_str() + joined->size()) return std::nullopt;
  return value;
}

std::optional<int64_t> truncated(double f) {
  if (!(std::fabs(f) < 9.2e18)) {
    if (std::isnan(f) || std::isinf(f)) return std::nullopt;
    fail("an integer does not fit in 64 bits");
  }
  return static_cast<int64_t>(f);
}

Value to_integer(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "int", {"default", "base"});
  expect_defined(v);
  std::optional<int64_t> result;
  if (v.is(Kind::kString)) {
    result = read_integer(v.text(), p.integer(1, 10));
    if (!result) {
      if (const auto f = read_float(v.text())) result = truncated(*f);
    }
  } else if (v.is(Kind::kFloat)) {
    result = truncated(v.number);
  } else if (is_number(v)) {
    result = expect_integer(v, "");
  }
  return result ? integer(*result) : p.at(0, integer(0));
}

Value to_float(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "float", {"default"});
  expect_defined(v);
  if (is_number(v)) return number(to_double(v));
  const auto f = v.is(Kind::kString) ? read_float(v.text()) : std::nullopt;
  return f ? number(*f) : p.at(0, number(0));
}

// round() of Python: the decimal that is nearest to the exact value, ties to the even digit.
double round_decimal(double f, int64_t digits) {
  if (!std::isfinite(f) || digits > 300) return f;
  if (digits < -300) return std::copysign(0.0, f);
  if (digits >= 0) {
    char buffer[700];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), f);
    return std::strtod(buffer, nullptr);
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(f / unit) * unit;
}

Value round_integer(const Value& v, int64_t digits) {
  const int64_t value = expect_integer(v, "");
  if (digits >= 0) return integer(value);
  if (digits < -18) return integer(0);
  int64_t unit = 1;
  for (int64_t i = digits; i < 0; ++i) unit *= 10;
  const int64_t rest = value % unit, down = value / unit;  // towards zero
  const int64_t half = unit / 2, size = rest < 0 ? -rest : rest;
  const bool away = size > half || (size == half && down % 2 != 0);
  int64_t result = 0;
  if (__builtin_mul_overflow(down + (away ? (value < 0 ? -1 : 1) : 0), unit, &result)) {
    fail("an integer does not fit in 64 bits");
  }
  return integer(result);
}

Value round(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "round", {"precision", "method"});
  const int64_t digits = p.integer(0, 0);
  const std::string_view method = p.text(1, "common");
  expect_defined(v);
  if (!is_number(v)) fail(absl::StrCat("round() takes a number, not ", std::string(type_name(v))));
  if (method == "common")
    return v.is(Kind::kFloat) ? number(round_decimal(v.number, digits)) : round_integer(v, digits);
  if (method != "ceil" && method != "floor") fail("method must be common, ceil or floor");
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = to_double(v) * unit;
  return number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value absolute(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "abs", {});
  expect_defined(v);
  if (v.is(Kind::kFloat)) return number(std::fabs(v.number));
  if (!is_number(v)) fail(absl::StrCat("bad operand type for abs(): '", std::string(type_name(v)), "'"));
  return expect_integer(v, "") < 0 ? negate(v) : integer(expect_integer(v, ""));
}

Value word_count(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "wordcount", {});
  std::string_view text = to_str(budget, v);
  budget.walk(text.size());
  int64_t words = 0;
  for (bool inside = false; !text.empty();) {
    const CodePoint c = decode_utf8(text);
    const bool letter = is_alphabetic(c.value) || is_numeric(c.value) || c.value == '_';
    words += letter && !inside;
    inside = letter;
    text.remove_prefix(c.bytes);
  }
  return integer(words);
}

constexpr std::pair<std::string_view, Filter> kFilters[] = {
    {"int", to_integer}, {"float", to_float}, {"round", round}, {"abs", absolute}, {"wordcount", word_count},
};

}  // namespace

Filter find_number_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

}  // namespace polymath::text::jinja
