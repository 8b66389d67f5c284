// GBNF: rules as `name ::= alternatives`, of "texts", [classes], (groups), names and . with * + ? {m,n} behind them.
//
// A rule that begins with itself becomes a repeat. So `a ::= a x | y` is y and any number of x. Other left recursion is
// refused. Source: llama.cpp's grammars/README.md.

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/grammar/code_points.h"
#include "text/grammar/languages.h"
#include "text/grammar/regex_syntax.h"
#include "text/utf8.h"

namespace polymath::text::grammar {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

// Whether a rule is small enough to stand wherever it is named. Then what surrounds it is one automaton with it.
bool is_plain(const ExprPool& pool, ExprId e) {
  const Expr& x = pool.at(e);
  if (x.kind == ExprKind::kBytes || x.kind == ExprKind::kText || x.kind == ExprKind::kEpsilon) return true;
  if (x.kind == ExprKind::kConcat) return is_plain(pool, x.a) && is_plain(pool, x.b);
  if (x.kind != ExprKind::kAlt) return false;
  const auto parts = pool.parts(e);
  return std::all_of(parts.begin(), parts.end(), [&](ExprId part) { return is_plain(pool, part); });
}

class Parser {
 public:
  Parser(std::string_view text, const GrammarLimits& limits, ExprPool& pool)
      : text_(text), limits_(limits), pool_(pool) {}

  absl::StatusOr<ExprId> parse() {
    skip();
    while (at_ < text_.size()) RETURN_IF_ERROR(rule());
    for (const auto& [name, rule] : rules_) {
      if (!rule.defined) return absl::InvalidArgumentError(absl::StrCat("grammar: no rule is called ", name));
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) return absl::InvalidArgumentError("grammar: no rule is called root");
    return pool_.rule(root->second.number);
  }

 private:
  struct Rule {
    int number = 0;
    bool defined = false;
  };

  absl::Status wrong(std::string_view what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    return absl::InvalidArgumentError(absl::StrCat("grammar, line ", line, ": ", std::string(what)));
  }

  // Blanks, line ends and comments.
  void skip() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  std::string_view name() {
    const size_t from = at_;
    while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
    return text_.substr(from, at_ - from);
  }
  // The next words are a name and ::=, so a rule begins.
  bool at_rule() {
    const size_t from = at_;
    const bool named = !name().empty();
    skip();
    const bool begins = named && text_.substr(at_).starts_with("::=");
    at_ = from;
    return begins;
  }
  Rule& rule_of(std::string_view name) {
    const auto [at, is_new] = rules_.try_emplace(std::string(name));
    if (is_new) at->second.number = pool_.new_rule();
    return at->second;
  }

  absl::Status rule() {
    const std::string called(name());
    skip();
    if (called.empty() || !take("::=")) return wrong("a rule must be `name ::= ...`");
    if (rules_.size() > static_cast<size_t>(limits_.rules_max)) {
      return wrong(absl::StrCat("more than ", limits_.rules_max, " rules"));
    }
    Rule& rule = rule_of(called);
    if (rule.defined) return wrong(absl::StrCat("the rule ", called, " is there twice"));
    rule.defined = true;
    const int number = rule.number;
    own_ = pool_.rule(number);
    std::vector<ExprId> first, behind;  // alternatives, and what follows the rule itself in others
    do {
      bool calls_itself = false;
      ASSIGN_OR_RETURN(const ExprId one, sequence(0, &calls_itself));
      (calls_itself ? behind : first).push_back(one);
    } while (take("|"));
    ExprId body = pool_.alt(std::move(first));
    if (!behind.empty()) body = pool_.concat(body, pool_.repeat(pool_.alt(std::move(behind)), 0, kUnbounded));
    pool_.set_rule(number, body);
    if (is_plain(pool_, body)) plain_[called] = body;
    return absl::OkStatus();
  }

  absl::StatusOr<ExprId> choice(int depth) {
    if (depth > limits_.depth_max) return wrong(absl::StrCat("groups nest deeper than ", limits_.depth_max));
    std::vector<ExprId> parts;
    do {
      ASSIGN_OR_RETURN(const ExprId one, sequence(depth, nullptr));
      parts.push_back(one);
    } while (take("|"));
    return pool_.alt(std::move(parts));
  }

  // `calls_itself`: set where the sequence begins with its own rule, which is left out then; null: it stays.
  absl::StatusOr<ExprId> sequence(int depth, bool* calls_itself) {
    std::vector<ExprId> parts;
    for (skip(); at_ < text_.size() && !next_is('|') && !next_is(')') && !at_rule(); skip()) {
      ASSIGN_OR_RETURN(ExprId one, atom(depth));
      ASSIGN_OR_RETURN(one, repeats(one));
      parts.push_back(one);
    }
    if (calls_itself != nullptr && !parts.empty() && parts.front() == own_) {
      *calls_itself = true;
      parts.erase(parts.begin());
    }
    ExprId all = kEpsilon;
    for (; !parts.empty(); parts.pop_back()) all = pool_.concat(parts.back(), all);
    return all;
  }

  absl::StatusOr<ExprId> atom(int depth) {
    if (take("(")) {
      ASSIGN_OR_RETURN(const ExprId inner, choice(depth + 1));
      if (!take(")")) return wrong("a ( without its )");
      return inner;
    }
    if (take("\"")) return quoted();
    if (next_is('[')) return char_class();
    if (next_is('.')) {
      ++at_;
      return utf8_of(pool_, CodePoints::all());
    }
    const std::string_view called = name();
    if (called.empty()) return wrong("a rule's name, a text, a class or a group is missing");
    if (const auto known = plain_.find(called); known != plain_.end()) return known->second;
    return pool_.rule(rule_of(called).number);
  }

  absl::StatusOr<ExprId> quoted() {
    std::string bytes;
    while (!next_is('"')) {
      if (at_ >= text_.size() || text_[at_] == '\n') return wrong("a text without its closing quote");
      if (text_[at_] == '\\') {
        ++at_;
        ASSIGN_OR_RETURN(const char32_t c, escape());
        append_utf8(bytes, c);
      } else {
        bytes += text_[at_++];
      }
    }
    ++at_;
    if (sanitize_utf8(bytes) != bytes) return wrong("a text is no UTF-8");
    return pool_.text(bytes);
  }

  absl::StatusOr<char32_t> escape() {
    constexpr std::pair<char, char32_t> kEscapes[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'\\', '\\'},
                                                      {'"', '"'},  {'[', '['},  {']', ']'},  {'\'', '\''}};
    constexpr std::pair<char, int> kCodes[] = {{'x', 2}, {'u', 4}, {'U', 8}};
    if (at_ >= text_.size()) return wrong("it ends too early");
    const char letter = text_[at_++];
    for (const auto& [known, c] : kEscapes) {
      if (letter == known) return c;
    }
    for (const auto& [known, digits] : kCodes) {
      if (letter != known) continue;
      char32_t value = 0;
      for (int i = 0; i < digits; ++i, ++at_) {
        const char c = at_ < text_.size() ? text_[at_] : ' ';
        if (!isxdigit(static_cast<unsigned char>(c))) return wrong("a hexadecimal digit is missing");
        value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
      }
      if (value > kCodePointMax || (value >= 0xD800 && value <= 0xDFFF)) return wrong("an escape is no code point");
      return value;
    }
    return wrong("an escape that has no meaning");
  }

  // Classes are those of regular expressions. GBNF's \U is read there as \u{ }.
  absl::StatusOr<ExprId> char_class() {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != ']') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return wrong("a [ without its ]");
    const std::string_view written = text_.substr(at_, end + 1 - at_);
    const auto node = parse_regex(written, {.bytes_max = limits_.pattern_bytes_max});
    if (!node.ok()) return wrong(std::string(node.status().message()));
    at_ = end + 1;
    return utf8_of(pool_, node->parts.front().set);
  }

  absl::StatusOr<int> number() {
    int value = 0;
    const size_t from = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = std::min(value * 10 + (text_[at_] - '0'), limits_.repeat_max + 1);
    }
    if (from == at_) return wrong("a number is missing in { }");
    if (value > limits_.repeat_max) return wrong(absl::StrCat("a repeat of more than ", limits_.repeat_max));
    return value;
  }

  // Behind the {.
  absl::StatusOr<ExprId> counted(ExprId one) {
    ASSIGN_OR_RETURN(const int least, number());
    int most = least;
    if (take(",")) most = kUnbounded;
    if (most == kUnbounded && !next_is('}')) {
      ASSIGN_OR_RETURN(most, number());
    }
    if (!take("}")) return wrong("a { without its }");
    if (most != kUnbounded && most < least) return wrong("the counts in { } are out of order");
    return pool_.repeat(one, least, most);
  }

  absl::StatusOr<ExprId> repeats(ExprId one) {
    while (true) {
      if (take("*")) {
        one = pool_.repeat(one, 0, kUnbounded);
      } else if (take("+")) {
        one = pool_.repeat(one, 1, kUnbounded);
      } else if (take("?")) {
        one = pool_.optional(one);
      } else if (take("{")) {
        ASSIGN_OR_RETURN(one, counted(one));
      } else {
        return one;
      }
    }
  }

  const std::string_view text_;
  const GrammarLimits& limits_;
  ExprPool& pool_;
  size_t at_ = 0;
  ExprId own_ = kNothing;  // the rule that is being read
  std::map<std::string, Rule, std::less<>> rules_;
  std::map<std::string, ExprId, std::less<>> plain_;
};

}  // namespace

absl::StatusOr<ExprId> read_ebnf(const Spec& spec, const GrammarLimits& limits, ExprPool& pool) {
  return Parser(spec.source, limits, pool).parse();
}

}  // namespace polymath::text::grammar
