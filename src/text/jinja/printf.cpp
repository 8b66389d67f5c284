// "%s" % v and "{}".format(v).

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/lines.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

constexpr int kWidthMax = 10'000;   // of a formatted value; a larger one: TemplateError
constexpr int kPrecisionMax = 300;  // the same for the digits after the point

// Digits at `i`; -1: none. `what` names them when they are too many.
int read_count(std::string_view text, size_t& i, int max) {
  int value = -1;
  while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
    value = std::max(value, 0) * 10 + (text[i++] - '0');
    if (value > max) fail("a width or a precision in a format is too large");
  }
  return value;
}

std::string with_thousands(const std::string& digits) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out + digits.substr(whole);
}

std::string integer_digits(const Value& v, const NumberFormat& f) {
  const int64_t i = v.is(Kind::kFloat) ? static_cast<int64_t>(v.number) : expect_integer(v, "a %d");
  const auto magnitude = i < 0 ? uint64_t{0} - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
  const char letter = static_cast<char>(f.type | 32);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  char buffer[72];
  std::string digits(buffer, std::to_chars(buffer, buffer + sizeof buffer, magnitude, base).ptr);
  if (f.type == 'X')
    std::transform(digits.begin(), digits.end(), digits.begin(), [](char c) { return std::toupper(c); });
  if (f.precision > static_cast<int>(digits.size())) digits.insert(0, f.precision - digits.size(), '0');
  if (f.alternate && base != 10) digits = std::string("0") + f.type + digits;
  return digits;
}

std::string float_digits(double f, const NumberFormat& format) {
  char buffer[720];
  const bool percent = format.type == '%';
  const char type = percent ? 'f' : format.type;
  if (std::isnan(f)) return percent ? "nan%" : "nan";
  if (std::isinf(f)) return percent ? "inf%" : "inf";
  const char pattern[] = {'%',
                          format.alternate ? '#' : '.',
                          format.alternate ? '.' : '*',
                          format.alternate ? '*' : type,
                          format.alternate ? type : '\0',
                          '\0'};
  std::snprintf(buffer, sizeof buffer, pattern, format.precision < 0 ? 6 : format.precision, percent ? f * 100 : f);
  return percent ? std::string(buffer) + "%" : buffer;
}

bool is_float_type(char c) { return std::string_view("eEfFgG%").find(c) != std::string_view::npos; }

// A formatted number in its field: zeros stand between the sign and the digits.
void append_padded(Builder& out, std::string number, const Padding& padding, bool zeros) {
  const size_t sign = number[0] == '-' || number[0] == '+' || number[0] == ' ' ? 1 : 0;
  if (zeros && padding.width > static_cast<int64_t>(number.size())) {
    number.insert(sign, static_cast<size_t>(padding.width) - number.size(), '0');
  }
  out.append(pad(out.budget(), number, padding));
}

class PercentFormat {
 public:
  PercentFormat(Builder& out, std::string_view format, const Value& arguments)
      : out_(out), format_(format), arguments_(arguments) {}

  void run() {
    size_t i = 0;
    while (i < format_.size()) {
      out_.budget().step();
      const size_t percent = std::min(format_.find('%', i), format_.size());
      out_.append(format_.substr(i, percent - i));
      i = percent;
      if (i < format_.size()) i = one(i + 1);
    }
    const bool is_tuple = arguments_.is(Kind::kList) && arguments_.list->kind == ListKind::kTuple;
    const size_t expected = is_tuple ? arguments_.list->items.size() : arguments_.is(Kind::kDict) ? used_ : 1;
    if (!named_ && used_ < expected) fail("not all arguments converted during string formatting");
  }

 private:
  Value next() {
    const bool is_tuple = arguments_.is(Kind::kList) && arguments_.list->kind == ListKind::kTuple;
    const size_t size = is_tuple ? arguments_.list->items.size() : 1;
    if (used_ >= size) fail("not enough arguments for format string");
    return is_tuple ? arguments_.list->items[used_++] : (++used_, arguments_);
  }

  Value named(size_t& i) {
    const size_t end = format_.find(')', i);
    if (end == format_.npos) fail("incomplete format key");
    if (!arguments_.is(Kind::kDict)) fail("format requires a mapping");
    const std::string_view key = format_.substr(i + 1, end - i - 1);
    const Value* value = find(out_.budget(), *arguments_.dict, key);
    if (value == nullptr) fail(absl::StrCat("the format names '", std::string(key), "', which is not given"));
    named_ = true;
    i = end + 1;
    return *value;
  }

  // One conversion behind its '%'; where the text goes on.
  size_t one(size_t i) {
    if (i < format_.size() && format_[i] == '%') {
      out_.append("%");
      return i + 1;
    }
    Value value;
    bool has_value = false;
    if (i < format_.size() && format_[i] == '(') {
      value = named(i);
      has_value = true;
    }
    NumberFormat number;
    bool left = false, zeros = false;
    for (; i < format_.size() && std::string_view("-0+ #").find(format_[i]) != std::string_view::npos; ++i) {
      left = left || format_[i] == '-';
      zeros = zeros || format_[i] == '0';
      number.alternate = number.alternate || format_[i] == '#';
      if (format_[i] == '+' || (format_[i] == ' ' && number.sign == '-')) number.sign = format_[i];
    }
    const int width = read_count(format_, i, kWidthMax);
    if (i < format_.size() && format_[i] == '.')
      number.precision = std::max(0, read_count(format_, ++i, kPrecisionMax));
    if (i >= format_.size()) fail("incomplete format");
    number.type = format_[i];
    if (!has_value) value = next();
    convert(value, number, {width, left ? '<' : '>', " "}, zeros && !left);
    return i + 1;
  }

  void convert(const Value& value, NumberFormat number, const Padding& padding, bool zeros) {
    Budget& budget = out_.budget();
    if (number.type == 's' || number.type == 'r') {
      Builder text(budget);
      number.type == 's' ? append_str(text, value) : append_repr(text, value);
      std::string_view shown = text.finish();
      if (number.precision >= 0)
        shown = get_slice(budget, string(shown), {Value{}, integer(number.precision), Value{}}).text();
      return out_.append(pad(budget, shown, padding));
    }
    if (number.type == 'i' || number.type == 'u') number.type = 'd';
    const bool known =
        is_float_type(number.type) || std::string_view("dxXo").find(number.type) != std::string_view::npos;
    if (!known) fail(absl::StrCat("unsupported format character '", std::string(1, number.type), "'"));
    expect_defined(value);
    if (!is_number(value))
      fail(absl::StrCat("%", std::string(1, number.type), " needs a number, not ", std::string(type_name(value))));
    append_padded(out_, format_number(value, number), padding, zeros);
  }

  Builder& out_;
  std::string_view format_;
  const Value& arguments_;
  size_t used_ = 0;
  bool named_ = false;
};

}  // namespace

std::string format_number(const Value& v, const NumberFormat& format) {
  const bool negative = v.is(Kind::kFloat) ? std::signbit(v.number) : expect_integer(v, "a number") < 0;
  if (!is_float_type(format.type) && v.is(Kind::kFloat) && !(std::fabs(v.number) < 9.2e18)) {
    fail("an integer does not fit in 64 bits");
  }
  std::string digits =
      is_float_type(format.type) ? float_digits(std::fabs(to_double(v)), format) : integer_digits(v, format);
  if (format.thousands) digits = with_thousands(digits);
  if (negative) return "-" + digits;
  return format.sign == '-' ? digits : std::string(1, format.sign) + digits;
}

std::string_view format_percent(Budget& budget, std::string_view format, const Value& arguments) {
  Builder out(budget);
  PercentFormat(out, format, arguments).run();
  return out.finish();
}

void append_formatted(Builder& out, const Value& v, std::string_view s) {
  Budget& budget = out.budget();
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  Padding padding{-1, 0, " "};
  NumberFormat number{.type = 0};
  size_t i = 0;
  const size_t first = s.empty() ? 0 : static_cast<size_t>(decode_utf8(s).bytes);
  if (first < s.size() && is_align(s[first])) {
    padding.fill = s.substr(0, first);
    padding.align = s[first];
    i = first + 1;
  } else if (!s.empty() && is_align(s[0])) {
    padding.align = s[i++];
  }
  if (i < s.size() && (s[i] == '+' || s[i] == '-' || s[i] == ' ')) number.sign = s[i++];
  if (i < s.size() && s[i] == '#') number.alternate = (++i, true);
  const bool zeros = i < s.size() && s[i] == '0' && padding.align == 0;
  padding.width = read_count(s, i, kWidthMax);
  if (i < s.size() && s[i] == ',') number.thousands = (++i, true);
  if (i < s.size() && s[i] == '.') number.precision = read_count(s, ++i, kPrecisionMax);
  if (i < s.size()) number.type = s[i++];
  if (i < s.size()) fail("a format specification is not understood");
  if (is_number(v) && number.type != 's' && !(v.is(Kind::kBool) && number.type == 0)) {
    if (padding.align == 0) padding.align = '>';
    if (number.type == 0 && v.is(Kind::kFloat) && number.precision < 0) {
      std::string text = format_float(v.number);
      if (number.thousands) text = with_thousands(text);
      if (number.sign != '-' && text[0] != '-') text.insert(0, 1, number.sign);
      return append_padded(out, text, padding, zeros);
    }
    if (number.type == 0) number.type = v.is(Kind::kFloat) ? 'g' : 'd';
    const bool known =
        is_float_type(number.type) || std::string_view("dxXob").find(number.type) != std::string_view::npos;
    if (!known || (number.type == 'd' && v.is(Kind::kFloat))) fail("a format specification does not fit a number");
    return append_padded(out, format_number(v, number), padding, zeros || padding.align == '=');
  }
  if (number.type != 0 && number.type != 's') fail("a format specification does not fit the value");
  std::string_view text = to_str(budget, v);
  if (number.precision >= 0)
    text = get_slice(budget, string(text), {Value{}, integer(number.precision), Value{}}).text();
  if (padding.align == 0) padding.align = '<';
  out.append(pad(budget, text, padding));
}

}  // namespace polymath::text::jinja
