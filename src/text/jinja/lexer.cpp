#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "text/jinja/memory.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators = {"**", "//", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool is_name(char c) { return is_name_start(c) || is_digit(c); }

class Lexer {
 public:
  Lexer(std::string_view source, int* line) : source_(source), line_(*line) { line_ = 1; }

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    add(TokenType::kEnd, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }
  bool starts(std::string_view text) const { return rest().starts_with(text); }

  void add(TokenType type, std::string_view text) { tokens_.push_back({type, line_, text}); }

  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + at_, source_.begin() + at_ + bytes, '\n'));
    at_ += bytes;
    line_starting_ = bytes > 0 ? source_[at_ - 1] == '\n' : line_starting_;
  }

  void skip_space() { advance(rest().size() - lstrip(rest()).size()); }

  // Past a tag's end: "-" takes all white space, a plain end one line end (if `trims`), "+" nothing.
  void close(char sign, bool trims) {
    advance(sign == '-' || sign == '+' ? 3 : 2);
    if (sign == '-') skip_space();
    if (sign == 0 && trims && starts("\n")) advance(1);
  }

  // The text before a tag that begins at `end`, less the white space that the tag strips.
  std::string_view before_tag(size_t end, char sign, bool is_variable) const {
    const std::string_view text = source_.substr(at_, end - at_);
    if (sign == '-') return rstrip(text);
    if (sign == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t begin = newline == text.npos ? 0 : newline + 1;
    if (begin == 0 && !line_starting_) return text;
    return lstrip(text.substr(begin)).empty() ? text.substr(0, begin) : text;
  }

  char sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : 0;
  }

  void data() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == source_.npos || tag + 1 >= source_.size()) {
        add(TokenType::kData, rest());
        return advance(rest().size());
      }
      if (source_[tag + 1] == '{' || source_[tag + 1] == '%' || source_[tag + 1] == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1], sign = sign_at(tag + 2);
    if (const auto text = before_tag(tag, sign, kind == '{'); !text.empty()) add(TokenType::kData, text);
    advance(tag - at_);
    if (kind == '#') return comment(sign);
    if (kind == '%' && raw(sign)) return;
    add(kind == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin, source_.substr(at_, 2));
    advance(sign != 0 ? 3 : 2);
    expression(kind == '{');
  }

  void comment(char sign) {
    const size_t end = source_.find("#}", at_ + (sign != 0 ? 3 : 2));
    if (end == source_.npos) fail("a comment has no end");
    const size_t body = at_ + (sign != 0 ? 3 : 2);
    const char last = end > body ? sign_at(end - 1) : 0;
    advance(end - (last != 0 ? 1 : 0) - at_);
    close(last, true);
  }

  // The length of "{% name %}" at `at`; 0: it is not there. `*sign`: of its end.
  size_t match_tag(size_t at, std::string_view name, char* sign) const {
    size_t i = at + 2 + (sign_at(at + 2) != 0 ? 1 : 0);
    const auto space = [&] { i += source_.substr(i).size() - lstrip(source_.substr(i)).size(); };
    if (i > source_.size()) return 0;
    space();
    if (!source_.substr(i).starts_with(name)) return 0;
    i += name.size();
    space();
    *sign = sign_at(i);
    if (*sign != 0) ++i;
    return source_.substr(i).starts_with("%}") ? i + 2 - at : 0;
  }

  bool raw(char) {
    char sign = 0;
    const size_t head = match_tag(at_, "raw", &sign);
    if (head == 0 || sign == '+') return false;
    advance(head);
    if (sign == '-') skip_space();
    for (size_t tag = source_.find("{%", at_); tag != source_.npos; tag = source_.find("{%", tag + 2)) {
      const size_t tail = match_tag(tag, "endraw", &sign);
      if (tail == 0) continue;
      if (const auto text = before_tag(tag, sign_at(tag + 2), false); !text.empty()) add(TokenType::kData, text);
      advance(tag + tail - (sign != 0 ? 3 : 2) - at_);
      close(sign, true);
      return true;
    }
    fail("raw has no endraw");
  }

  // Tokens up to the tag's end, which counts only outside of brackets.
  void expression(bool is_variable) {
    const std::string_view end = is_variable ? "}}" : "%}";
    std::string open;
    while (true) {
      skip_space();
      if (at_ >= source_.size()) fail(is_variable ? "'{{' has no end" : "'{%' has no end");
      const char sign = sign_at(at_);
      const bool signed_end = sign == '-' || (sign == '+' && !is_variable);
      if (open.empty() && source_.substr(at_ + (signed_end ? 1 : 0)).starts_with(end)) {
        add(is_variable ? TokenType::kVariableEnd : TokenType::kBlockEnd, end);
        return close(signed_end ? sign : 0, !is_variable);
      }
      token(open);
    }
  }

  void token(std::string& open) {
    const char c = source_[at_];
    if (is_digit(c)) return number();
    if (is_name_start(c)) {
      size_t n = 1;
      while (n < rest().size() && is_name(rest()[n])) ++n;
      add(TokenType::kName, rest().substr(0, n));
      return advance(n);
    }
    if (c == '\'' || c == '"') return quoted(c);
    for (std::string_view op : kOperators) {
      if (!starts(op)) continue;
      balance(op[0], open);
      add(TokenType::kOperator, op);
      return advance(op.size());
    }
    fail(absl::StrCat("unexpected character '", std::string(1, c), "'"));
  }

  static void balance(char c, std::string& open) {
    if (c == '(') open.push_back(')');
    if (c == '[') open.push_back(']');
    if (c == '{') open.push_back('}');
    if (c != ')' && c != ']' && c != '}') return;
    if (open.empty() || open.back() != c) fail(absl::StrCat("unexpected '", std::string(1, c), "'"));
    open.pop_back();
  }

  void quoted(char quote) {
    size_t i = 1;
    while (i < rest().size() && rest()[i] != quote) i += rest()[i] == '\\' ? 2 : 1;
    if (i >= rest().size()) fail("a string has no end");
    add(TokenType::kString, rest().substr(0, i + 1));
    advance(i + 1);
  }

  // The end of digits from `i`, single underscores between them allowed.
  static size_t digits(std::string_view text, size_t i) {
    while (i < text.size() && (is_digit(text[i]) || (text[i] == '_' && i + 1 < text.size() && is_digit(text[i + 1])))) {
      ++i;
    }
    return i;
  }

  void number() {
    const std::string_view text = rest();
    if (text.size() > 2 && text[0] == '0' && std::isalpha(static_cast<unsigned char>(text[1])) && text[1] != 'e' &&
        text[1] != 'E') {
      size_t n = 2;
      while (n < text.size() && is_name(text[n])) ++n;
      add(TokenType::kInteger, text.substr(0, n));
      return advance(n);
    }
    const size_t whole = digits(text, 0);
    size_t end = whole;
    const bool after_dot = !tokens_.empty() && tokens_.back().text == ".";  // x.0.1: two integers
    if (!after_dot && end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) end = digits(text, end + 1);
    if (!after_dot && end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
      if (exponent < text.size() && is_digit(text[exponent])) end = digits(text, exponent);
    }
    add(end == whole ? TokenType::kInteger : TokenType::kFloat, text.substr(0, end));
    advance(end);
  }

  std::string_view source_;
  int& line_;
  size_t at_ = 0;
  bool line_starting_ = true;  // at_ is the input's start or behind a line end
  std::vector<Token> tokens_;
};

int hex_value(std::string_view digits) {
  int value = 0;
  for (char c : digits) {
    if (!std::isxdigit(static_cast<unsigned char>(c))) return -1;
    value = value * 16 + (is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
  }
  return value;
}

// One escape after its backslash; the bytes it takes.
size_t unescape_one(std::string_view text, std::string& out) {
  static constexpr std::string_view kLetters = "ntrabfv\\'\"", kMeanings = "\n\t\r\a\b\f\v\\'\"";
  const char c = text[0];
  if (const size_t i = kLetters.find(c); i != kLetters.npos) {
    out.push_back(kMeanings[i]);
    return 1;
  }
  if (c == '\n') return 1;  // a line that goes on
  if (c >= '0' && c <= '7') {
    size_t n = 0;
    char32_t value = 0;
    while (n < 3 && n < text.size() && text[n] >= '0' && text[n] <= '7') value = value * 8 + (text[n++] - '0');
    append_utf8(out, value);
    return n;
  }
  const size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (c == 'N') fail("\\N{...} in a string is not supported");
  if (width == 0) {  // not an escape: the backslash stays
    out.push_back('\\');
    return 0;
  }
  const auto hex = text.size() > width ? text.substr(1, width) : std::string_view("?");
  const int value = width == 8 && hex > "0010FFFF" ? -1 : hex_value(hex);
  if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
    fail(absl::StrCat("a string holds a '\\", std::string(1, c), "' that names no character"));
  }
  append_utf8(out, static_cast<char32_t>(value));
  return 1 + width;
}

}  // namespace

std::vector<Token> tokenize(std::string_view source, int* line) { return Lexer(source, line).run(); }

std::string normalize_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out.push_back('\n');
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return sanitize_utf8(out);
}

std::string unescape(std::string_view token) {
  std::string out;
  for (std::string_view text = token.substr(1, token.size() - 2); !text.empty();) {
    if (text[0] != '\\' || text.size() == 1) {
      out.push_back(text[0]);
      text.remove_prefix(1);
    } else {
      text.remove_prefix(1);
      text.remove_prefix(unescape_one(text, out));
    }
  }
  return out;
}

}  // namespace polymath::text::jinja
