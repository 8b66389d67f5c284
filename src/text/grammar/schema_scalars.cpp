#include "text/grammar/schema_scalars.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/grammar/code_points.h"
#include "text/grammar/regex_language.h"

namespace polymath::text::grammar {
namespace {

constexpr int kModulusMax = 4096;  // states of a multipleOf; more: kUnimplemented

// A number's magnitude: digits before the point, without leading zeros, and behind it, without trailing ones.
struct Decimal {
  bool negative = false;
  std::string whole, fraction;
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

Decimal decimal_of(const base::JsonValue& value) {
  char buffer[400];
  std::to_chars_result end{};
  if (value.is_int64()) {
    end = std::to_chars(buffer, std::end(buffer), value.get_int64());
  } else if (value.is_uint64()) {
    end = std::to_chars(buffer, std::end(buffer), value.get_uint64());
  } else {
    end = std::to_chars(buffer, std::end(buffer), value.get_double(), std::chars_format::fixed);
  }
  std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  Decimal decimal{.negative = text.starts_with('-')};
  if (decimal.negative) text.remove_prefix(1);
  const size_t point = std::min(text.find('.'), text.size());
  decimal.whole = text.substr(0, point);
  if (point < text.size()) decimal.fraction = text.substr(point + 1);
  while (decimal.fraction.ends_with('0')) decimal.fraction.pop_back();
  if (decimal.is_zero()) decimal.negative = false;
  return decimal;
}

// The magnitudes below, equal to or above a bound.
struct Relation {
  bool less = false, equal = false, greater = false;
};

// Reads a magnitude digit by digit. In kLess and kGreater the comparison is decided. Each count of whole digits has
// three states, by the comparison so far. Each count of fraction digits has one: all are equal so far.
class Comparison {
 public:
  Comparison(const Decimal& bound, const Relation& wanted) : bound_(bound), wanted_(wanted) {
    n_whole_ = static_cast<int>(bound.whole.size());
    const int n_states = whole(n_whole_, 2) + 1 + static_cast<int>(bound.fraction.size()) + 1;
    dfa_.next.assign(static_cast<size_t>(n_states) * 256, -1);
    dfa_.accepts.assign(static_cast<size_t>(n_states), 0);
    for (const int decided : {kLess, kGreater}) {
      set_digits(decided, [&](int) { return decided; });
      dfa_.accepts[decided] = decided == kLess ? wanted.less : wanted.greater;
    }
    set_digits(kLonger, [](int) { return kLonger; });
    set(kLonger, '.', kGreater);
    dfa_.accepts[kLonger] = wanted.greater;
    for (int i = 0; i <= n_whole_; ++i) {
      for (int order = 0; order < 3; ++order) add_whole(i, order);
    }
    for (int i = 0; i <= static_cast<int>(bound.fraction.size()); ++i) add_fraction(i);
  }

  ExprId expr(ExprPool& pool) const { return pool.dfa(dfa_, whole(0, 1)); }

 private:
  static constexpr int kLess = 0, kGreater = 1, kLonger = 2;                  // kLonger: in the whole digits
  static int whole(int digits, int order) { return 3 + digits * 3 + order; }  // order 0: less, 1: equal, 2: greater
  int fraction(int digits) const { return whole(n_whole_, 2) + 1 + digits; }

  void set(int from, char byte, int to) {
    dfa_.next[static_cast<size_t>(from) * 256 + static_cast<uint8_t>(byte)] = to;
  }
  template <typename Next>
  void set_digits(int from, const Next& next) {
    for (int digit = 0; digit < 10; ++digit) set(from, static_cast<char>('0' + digit), next(digit));
  }

  void add_whole(int i, int order) {
    const int from = whole(i, order);
    if (i == n_whole_) {
      set_digits(from, [](int) { return kLonger; });
      set(from, '.', order == 1 ? fraction(0) : order == 0 ? kLess : kGreater);
      const bool equal = order == 1 && bound_.fraction.empty();
      const bool less = order == 0 || (order == 1 && !bound_.fraction.empty());
      dfa_.accepts[static_cast<size_t>(from)] = equal ? wanted_.equal : less ? wanted_.less : wanted_.greater;
      return;
    }
    set_digits(from, [&](int digit) {
      const int of_bound = bound_.whole[static_cast<size_t>(i)] - '0';
      return whole(i + 1, order != 1 ? order : digit < of_bound ? 0 : digit == of_bound ? 1 : 2);
    });
    set(from, '.', kLess);
    dfa_.accepts[static_cast<size_t>(from)] = i > 0 && wanted_.less;
  }

  void add_fraction(int i) {
    const int from = fraction(i);
    const bool at_end = i == static_cast<int>(bound_.fraction.size());
    set_digits(from, [&](int digit) {
      if (at_end) return digit == 0 ? from : kGreater;
      const int of_bound = bound_.fraction[static_cast<size_t>(i)] - '0';
      return digit < of_bound ? kLess : digit == of_bound ? fraction(i + 1) : kGreater;
    });
    dfa_.accepts[static_cast<size_t>(from)] = at_end ? wanted_.equal : wanted_.less;
  }

  const Decimal& bound_;
  const Relation wanted_;
  int n_whole_ = 0;
  Dfa dfa_;
};

// Digits, a point among them or not, that read without it are a multiple of `modulus`.
ExprId multiple_language(ExprPool& pool, int64_t modulus) {
  Dfa dfa;
  dfa.next.assign(static_cast<size_t>(modulus) * 256, -1);
  dfa.accepts.assign(static_cast<size_t>(modulus), 0);
  dfa.accepts[0] = 1;
  for (int64_t rest = 0; rest < modulus; ++rest) {
    auto* const next = &dfa.next[static_cast<size_t>(rest) * 256];
    for (int digit = 0; digit < 10; ++digit) next['0' + digit] = static_cast<int32_t>((rest * 10 + digit) % modulus);
    next['.'] = static_cast<int32_t>(rest);
  }
  return pool.dfa(dfa, 0);
}

ExprId whole_digits(ExprPool& pool) {
  const ExprId digit = pool.bytes(ByteSet::range('0', '9'));
  return pool.alt(
      {pool.text("0"), pool.concat(pool.bytes(ByteSet::range('1', '9')), pool.repeat(digit, 0, kUnbounded))});
}

ExprId with_fraction(ExprPool& pool, int least, int most) {
  const ExprId digit = pool.bytes(ByteSet::range('0', '9'));
  return pool.concat({whole_digits(pool), pool.text("."), pool.repeat(digit, least, most)});
}

// The magnitudes that are multiples of a number.
absl::StatusOr<ExprId> multiples_of(ExprPool& pool, const base::JsonValue& value, bool fractions) {
  const Decimal factor = decimal_of(value);
  if (factor.negative || factor.is_zero()) {
    return absl::InvalidArgumentError("schema: multipleOf must be above 0");
  }
  const std::string digits = factor.whole + factor.fraction;
  int64_t number = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const auto n_fraction = static_cast<int>(factor.fraction.size());
  if (end.ec != std::errc() || n_fraction > kFractionDigitsMax) {
    return absl::UnimplementedError("schema: multipleOf has too many digits");
  }
  std::vector<ExprId> parts;
  int64_t scale = 1;  // 10 to the power of the digits that are not written
  for (int written = n_fraction; written >= 0; --written, scale *= 10) {
    const int64_t modulus = number / std::gcd(number, scale);
    if (modulus > kModulusMax) {
      return absl::UnimplementedError(absl::StrCat("schema: multipleOf above ", kModulusMax, " is not supported"));
    }
    if (written > 0 && !fractions) continue;
    const ExprId spelled = written == 0 ? whole_digits(pool) : with_fraction(pool, written, written);
    parts.push_back(pool.both({spelled, multiple_language(pool, modulus)}));
  }
  return pool.alt(std::move(parts));
}

// The magnitudes within the shape's bounds, of numbers with this sign.
ExprId within_bounds(ExprPool& pool, ExprId spelled, const Shape& shape, bool negative) {
  std::vector<ExprId> parts = {spelled};
  const auto add = [&](const NumberBound& bound, bool from_below) {
    const Decimal decimal = decimal_of(*bound.value);
    if (decimal.negative != negative && !decimal.is_zero()) {
      if (from_below != negative) return;  // a bound beyond zero, on the other side
      parts.push_back(kNothing);
      return;
    }
    const bool above = from_below != negative;
    const Relation wanted{.less = !above, .equal = !bound.exclusive, .greater = above};
    parts.push_back(Comparison(decimal, wanted).expr(pool));
  };
  for (const NumberBound& bound : shape.at_least) add(bound, true);
  for (const NumberBound& bound : shape.at_most) add(bound, false);
  return pool.both(std::move(parts));
}

}  // namespace

absl::StatusOr<ExprId> number_language(ExprPool& pool, JsonText& json, const Shape& shape) {
  const bool fractions = (shape.types & kFractionType) != 0;
  if (shape.at_least.empty() && shape.at_most.empty() && shape.multiples.empty()) {
    return fractions ? json.number() : json.integer();
  }
  ExprId spelled = whole_digits(pool);
  if (fractions) spelled = pool.alt({spelled, with_fraction(pool, 1, kFractionDigitsMax)});
  for (const base::JsonValue* factor : shape.multiples) {
    ASSIGN_OR_RETURN(const ExprId multiples, multiples_of(pool, *factor, fractions));
    spelled = pool.both({spelled, multiples});
  }
  const ExprId above = within_bounds(pool, spelled, shape, false), below = within_bounds(pool, spelled, shape, true);
  return pool.alt({above, pool.concat(pool.text("-"), below)});
}

absl::StatusOr<ExprId> pattern_language(ExprPool& pool, std::string_view pattern, const GrammarLimits& limits) {
  const RegexLimits bounds{limits.pattern_bytes_max, limits.depth_max, limits.repeat_max};
  ASSIGN_OR_RETURN(const RegexNode node, parse_regex(pattern, bounds));
  return regex_language(pool, node, json_spelling(pool), /*search=*/true);
}

absl::StatusOr<ExprId> plain_string_language(ExprPool& pool, const Shape& shape, const GrammarLimits& limits) {
  const ExprId quote = pool.text("\""), any = json_char_of(pool, CodePoints::all());
  std::vector<ExprId> parts;
  for (const std::string& pattern : shape.patterns) {
    ASSIGN_OR_RETURN(const ExprId language, pattern_language(pool, pattern, limits));
    parts.push_back(language);
  }
  for (const std::string& name : shape.formats) {
    const auto pattern = format_pattern(name);
    if (!pattern.has_value()) {
      return absl::UnimplementedError(absl::StrCat("schema: format ", name.substr(0, 100), " is not supported"));
    }
    if (pattern->empty()) continue;
    GrammarLimits own = limits;
    own.pattern_bytes_max = pattern->size();
    ASSIGN_OR_RETURN(const ExprId language, pattern_language(pool, *pattern, own));
    parts.push_back(language);
  }
  const bool bounded = shape.length_min > 0 || shape.length_max != kUnbounded;
  if (bounded || parts.empty()) {
    parts.push_back(pool.concat({quote, pool.repeat(any, shape.length_min, shape.length_max), quote}));
  }
  return pool.both(std::move(parts));
}

absl::StatusOr<ExprId> string_language(ExprPool& pool, JsonText& json, const Shape& shape,
                                       const GrammarLimits& limits) {
  if (shape.length_max != kUnbounded && shape.length_max < shape.length_min) return kNothing;
  const bool free = shape.patterns.empty() && shape.formats.empty();
  if (free) return json.string(shape.length_min, shape.length_max);
  return plain_string_language(pool, shape, limits);
}

}  // namespace polymath::text::grammar
