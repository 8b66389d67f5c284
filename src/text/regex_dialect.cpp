// The dialects of tokenizer files -> PCRE2's. Only what differs is rewritten; the rest passes through.
// Sources: Oniguruma doc/RE; fancy_regex and regex (Rust) documentation, "Syntax"; pcre2pattern(3).

#include <vector>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "text/regex.h"

namespace polymath::text {
namespace {

constexpr int kClassDepthMax = 32;  // classes within classes; deeper: kInvalidArgument

// Inside of a class. Ruby's \s is White_Space; PCRE2's has U+180E, too. Ruby's \w has marks and connectors.
constexpr std::string_view kSpace =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";
constexpr std::string_view kRubyWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view kRustWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";  // and the joiners
constexpr std::string_view kHex = "0-9A-Fa-f";
constexpr std::string_view kNotHex = "\\x{0}-/:-@G-`g-\\x{10ffff}";

// Whether \p{name} is a script.
bool is_script(std::string_view name) {
  if (name.size() < 3) return false;  // general categories: L, Lu
  for (const char c : name) {
    if (!absl::ascii_isalpha(static_cast<unsigned char>(c)) && c != '_' && c != ' ' && c != '-') return false;
  }
  const std::string pattern = absl::StrCat("\\p{sc:", std::string(name), "}");
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Translator {
 public:
  Translator(std::string_view pattern, RegexDialect dialect) : in_(pattern), dialect_(dialect) {}

  absl::StatusOr<std::string> run() {
    while (at_ < in_.size()) RETURN_IF_ERROR(step());
    return std::move(out_);
  }

 private:
  absl::Status error(std::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("the regular expression ", std::string(in_), " at byte ", at_, ": ", std::string(what)));
  }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  std::string_view word() const { return dialect_ == RegexDialect::kOniguruma ? kRubyWord : kRustWord; }
  bool looking_at(std::string_view what) const { return in_.substr(at_, what.size()) == what; }

  void atom(std::string_view text) {
    atom_start_ = out_.size();
    out_.append(text);
  }

  absl::Status step() {
    const char c = peek();
    if (c == '\\') return escape_outside();
    if (c == '[') {
      ASSIGN_OR_RETURN(const std::string text, character_class(0));
      atom(text);
      return absl::OkStatus();
    }
    if (c == '(') return open_group(), absl::OkStatus();
    if (c == ')') {
      if (!groups_.empty()) {
        atom_start_ = groups_.back();
        groups_.pop_back();
      }
      out_.push_back(in_[at_++]);
      return absl::OkStatus();
    }
    if (c == '{') return interval(), absl::OkStatus();
    if (c == '*' || c == '+' || c == '?' || c == '|' || c == '^' || c == '$') {
      out_.push_back(in_[at_++]);
      return absl::OkStatus();
    }
    size_t length = 1;  // a whole character, so that a quantifier's atom is one
    while ((static_cast<unsigned char>(peek(length)) & 0xC0) == 0x80) ++length;
    atom(in_.substr(at_, length));
    at_ += length;
    return absl::OkStatus();
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_.push_back(in_[at_++]);
    if (peek() != '?') return;
    out_.push_back(in_[at_++]);
    // Ruby's m is "dot matches newline", PCRE2's s. Other things than flags stand behind (?, too.
    size_t n = 0;
    while (std::string_view("imsx-").find(peek(n)) != std::string_view::npos && peek(n) != '\0') ++n;
    if (n == 0 || (peek(n) != ':' && peek(n) != ')')) return;
    const char dot_matches_newline = dialect_ == RegexDialect::kOniguruma ? 'm' : '\0';
    for (size_t i = 0; i < n; ++i, ++at_) out_.push_back(peek() == dot_matches_newline ? 's' : peek());
    if (peek() == ')') {  // (?i): no group, but flags for what follows
      out_.push_back(in_[at_++]);
      groups_.pop_back();
    }
  }

  void interval() {
    size_t i = at_ + 1;
    const size_t low = i;
    while (i < in_.size() && is_digit(in_[i])) ++i;
    const std::string_view from = in_.substr(low, i - low);
    const bool comma = i < in_.size() && in_[i] == ',';
    const size_t high = comma ? ++i : i;
    while (i < in_.size() && is_digit(in_[i])) ++i;
    const std::string_view to = in_.substr(high, i - high);
    if (i >= in_.size() || in_[i] != '}' || (from.empty() && to.empty())) {
      atom("\\{");
      ++at_;
      return;
    }
    at_ = i + 1;
    out_ += absl::StrCat("{", from.empty() ? "0" : std::string(from), comma ? "," : "", std::string(to), "}");
    if (peek() == '+' && dialect_ == RegexDialect::kOniguruma) {  // there it repeats the repeat
      out_.insert(atom_start_, "(?:");
      out_.push_back(')');
    }
  }

  // \uHHHH -> \x{HHHH}; empty: not such an escape.
  std::string unicode_escape() {
    if (peek(1) != 'u') return {};
    for (int i = 2; i < 6; ++i) {
      if (!is_hex(peek(i))) return {};
    }
    std::string text = absl::StrCat("\\x{", std::string(in_.substr(at_ + 2, 4)), "}");
    at_ += 6;
    return text;
  }

  // An escape that PCRE2 reads as Ruby does, with its braces.
  std::string plain_escape() {
    size_t length = 2;
    const char kind = peek(1);
    if ((kind == 'p' || kind == 'P' || kind == 'x' || kind == 'k' || kind == 'g') &&
        (peek(2) == '{' || peek(2) == '<')) {
      const size_t close = in_.find(peek(2) == '{' ? '}' : '>', at_ + 3);
      if (close != std::string_view::npos) length = close + 1 - at_;
    } else if (kind == 'x') {
      while (length < 4 && is_hex(peek(length))) ++length;
    } else {
      while ((static_cast<unsigned char>(peek(length)) & 0xC0) == 0x80) ++length;
    }
    std::string text(in_.substr(at_, length));
    at_ += text.size();
    // Alone, a script's name means Script; PCRE2 would take Script_Extensions, where U+3002 is Han.
    if ((kind == 'p' || kind == 'P') && length > 4 && text[2] == '{') {
      const size_t name = text[3] == '^' ? 4 : 3;
      if (is_script(std::string_view(text).substr(name, text.size() - 1 - name))) text.insert(name, "sc:");
    }
    return text;
  }

  absl::Status escape_outside() {
    if (at_ + 1 >= in_.size()) return error("a backslash at the end");
    std::string text = unicode_escape();
    if (!text.empty()) return atom(text), absl::OkStatus();
    switch (peek(1)) {
      case 's':
        text = absl::StrCat("[", std::string(kSpace), "]");
        break;
      case 'S':
        text = absl::StrCat("[^", std::string(kSpace), "]");
        break;
      case 'w':
        text = absl::StrCat("[", std::string(word()), "]");
        break;
      case 'W':
        text = absl::StrCat("[^", std::string(word()), "]");
        break;
      case 'h':
        text = absl::StrCat("[", std::string(kHex), "]");
        break;
      case 'H':
        text = absl::StrCat("[^", std::string(kHex), "]");
        break;
      default:
        return atom(plain_escape()), absl::OkStatus();
    }
    at_ += 2;
    return atom(text), absl::OkStatus();
  }

  // One side of && within a class: a PCRE2 class's inside, and whole sub-expressions beside it.
  struct Operand {
    std::string plain;
    std::vector<std::string> nested;

    std::string expression() const {
      if (nested.empty()) return plain.empty() ? "(?!)" : absl::StrCat("[", plain, "]");
      std::string text = plain.empty() ? "(?:" : absl::StrCat("(?:[", plain, "]|");
      for (size_t i = 0; i < nested.size(); ++i) absl::StrAppend(&text, i > 0 ? "|" : "", nested[i]);
      return text + ")";
    }
  };

  void escape_inside(Operand& operand) {
    std::string text = unicode_escape();
    if (!text.empty()) {
      operand.plain += text;
      return;
    }
    switch (peek(1)) {
      case 's':
        operand.plain += kSpace;
        break;
      case 'S':
        operand.plain += kNotSpace;
        break;
      case 'w':
        operand.plain += word();
        break;
      case 'W':
        operand.nested.push_back(absl::StrCat("[^", std::string(word()), "]"));
        break;
      case 'h':
        operand.plain += kHex;
        break;
      case 'H':
        operand.plain += kNotHex;
        break;
      default:
        operand.plain += plain_escape();
        return;
    }
    at_ += 2;
  }

  absl::StatusOr<std::string> character_class(int depth) {
    if (depth > kClassDepthMax) return error("character classes are nested too deeply");
    ++at_;  // [
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<Operand> operands(1);
    for (bool first = true; peek() != ']' || first; first = false) {
      if (at_ >= in_.size()) return error("a character class without its end");
      Operand& operand = operands.back();
      if (dialect_ == RegexDialect::kTiktoken && (looking_at("--") || looking_at("~~"))) {
        return error("differences of character classes are not supported");
      }
      if (looking_at("&&")) {
        at_ += 2;
        operands.emplace_back();
      } else if (peek() == '\\') {
        if (at_ + 1 >= in_.size()) return error("a backslash at the end");
        escape_inside(operand);
      } else if (looking_at("[:")) {
        const size_t close = in_.find(":]", at_ + 2);
        if (close == std::string_view::npos) return error("[: without :]");
        operand.plain += in_.substr(at_, close + 2 - at_);
        at_ = close + 2;
      } else if (peek() == '[') {
        ASSIGN_OR_RETURN(std::string text, character_class(depth + 1));
        operand.nested.push_back(std::move(text));
      } else if (peek() == ']') {
        operand.plain += "\\]";
        ++at_;
      } else {
        operand.plain.push_back(in_[at_++]);
      }
    }
    ++at_;  // ]
    return combine(operands, negated);
  }

  static std::string combine(const std::vector<Operand>& operands, bool negated) {
    if (operands.size() == 1 && operands[0].nested.empty()) {
      return absl::StrCat(negated ? "[^" : "[", operands[0].plain, "]");
    }
    std::string text;
    for (size_t i = 0; i + 1 < operands.size(); ++i) absl::StrAppend(&text, "(?=", operands[i].expression(), ")");
    text += operands.back().expression();
    return negated ? absl::StrCat("(?:(?!", text, ")\\p{Any})") : absl::StrCat("(?:", text, ")");
  }

  std::string_view in_;
  RegexDialect dialect_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_start_ = 0;       // where in out_ the last thing that a quantifier may follow begins
  std::vector<size_t> groups_;  // where open groups begin in out_
};

}  // namespace

absl::StatusOr<std::string> to_pcre2(std::string_view pattern, RegexDialect dialect) {
  return Translator(pattern, dialect).run();
}

}  // namespace polymath::text
