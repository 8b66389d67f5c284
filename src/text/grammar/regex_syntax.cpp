#include "text/grammar/regex_syntax.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/utf8.h"

namespace polymath::text::grammar {
namespace {

using Kind = RegexNode::Kind;

const CodePoints& digits() {
  static const CodePoints set = CodePoints::range('0', '9');
  return set;
}

const CodePoints& word_chars() {
  static const CodePoints set = [] {
    CodePoints s = digits();
    s |= CodePoints::range('a', 'z');
    s |= CodePoints::range('A', 'Z');
    return s |= CodePoints::of("_");
  }();
  return set;
}

const CodePoints& line_ends() {
  static const CodePoints set = [] {
    CodePoints s = CodePoints::of("\n\r");
    return s |= CodePoints::range(0x2028, 0x2029);
  }();
  return set;
}

const CodePoints& blanks() {
  static const CodePoints set = [] {
    CodePoints s = CodePoints::of("\t\n\v\f\r ");
    constexpr std::pair<char32_t, char32_t> kMore[] = {{0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                                                       {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                                       {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    for (const auto& [first, last] : kMore) s |= CodePoints::range(first, last);
    return s;
  }();
  return set;
}

class Parser {
 public:
  Parser(std::string_view pattern, const RegexLimits& limits) : text_(pattern), limits_(limits) {}

  absl::StatusOr<RegexNode> parse() {
    ASSIGN_OR_RETURN(RegexNode node, choice(0));
    if (at_ < text_.size()) return wrong("a ) without its (");
    return node;
  }

 private:
  absl::Status wrong(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("regular expression, byte ", at_, ": ", std::string(what)));
  }
  absl::Status missing(std::string_view what) const {
    return absl::UnimplementedError(absl::StrCat("regular expression, byte ", at_, ": ", std::string(what)));
  }

  bool done() const { return at_ >= text_.size(); }
  bool next_is(std::string_view word) const { return text_.substr(at_).starts_with(word); }
  bool take(std::string_view word) {
    if (!next_is(word)) return false;
    at_ += word.size();
    return true;
  }
  absl::StatusOr<char32_t> code_point() {
    if (done()) return wrong("it ends too early");
    const CodePoint c = decode_utf8(text_.substr(at_));
    if (!c.valid) return wrong("it is no UTF-8");
    at_ += static_cast<size_t>(c.bytes);
    return c.value;
  }

  absl::StatusOr<RegexNode> choice(int depth) {
    if (depth > limits_.depth_max) return wrong(absl::StrCat("groups nest deeper than ", limits_.depth_max));
    RegexNode node{.kind = Kind::kChoice};
    do {
      ASSIGN_OR_RETURN(RegexNode part, sequence(depth));
      node.parts.push_back(std::move(part));
    } while (take("|"));
    if (node.parts.size() > 1) return node;
    RegexNode only = std::move(node.parts.front());
    return only;
  }

  absl::StatusOr<RegexNode> sequence(int depth) {
    RegexNode node{.kind = Kind::kSequence};
    while (!done() && !next_is("|") && !next_is(")")) {
      ASSIGN_OR_RETURN(RegexNode part, atom(depth));
      ASSIGN_OR_RETURN(part, repeats(std::move(part)));
      node.parts.push_back(std::move(part));
    }
    return node;
  }

  absl::StatusOr<RegexNode> repeats(RegexNode part) {
    int least = 0, most = kUnbounded;
    if (take("*")) {
      least = 0;
    } else if (take("+")) {
      least = 1;
    } else if (take("?")) {
      most = 1;
    } else if (!next_is("{")) {
      return part;
    } else {
      RETURN_IF_ERROR(counts(least, most));
    }
    if (part.kind == Kind::kBegin || part.kind == Kind::kEnd || part.kind == Kind::kLookahead) {
      return wrong("an anchor or a lookahead cannot be repeated");
    }
    take("?");  // lazy: the same language
    if (next_is("+")) return missing("possessive repeats are not supported");
    if (next_is("*") || next_is("?") || next_is("{")) return wrong("nothing to repeat");
    RegexNode node{.kind = Kind::kRepeat, .least = least, .most = most};
    node.parts.push_back(std::move(part));
    return node;
  }

  absl::StatusOr<int> number() {
    int value = 0;
    const size_t from = at_;
    for (; !done() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = std::min(value * 10 + (text_[at_] - '0'), limits_.repeat_max + 1);
    }
    if (from == at_) return wrong("a number is missing in { }");
    if (value > limits_.repeat_max) return wrong(absl::StrCat("a repeat of more than ", limits_.repeat_max));
    return value;
  }

  absl::Status counts(int& least, int& most) {
    take("{");
    ASSIGN_OR_RETURN(least, number());
    most = least;
    if (take(",")) {
      most = kUnbounded;
      if (!next_is("}")) {
        ASSIGN_OR_RETURN(most, number());
      }
    }
    if (!take("}")) return wrong("a { without its }");
    if (most != kUnbounded && most < least) return wrong("the counts in { } are out of order");
    return absl::OkStatus();
  }

  absl::StatusOr<RegexNode> group(int depth) {
    RegexNode look{.kind = Kind::kLookahead};
    if (take("?<=") || take("?<!")) return missing("lookbehind is not supported");
    if (take("?>")) return missing("atomic groups are not supported");
    const bool ahead = take("?=");
    look.negative = !ahead && take("?!");
    if (!ahead && !look.negative && take("?")) {
      take("P");
      if (take("<")) {
        const size_t end = text_.find('>', at_);
        if (end == std::string_view::npos) return wrong("a group's name without its >");
        at_ = end + 1;
      } else if (!take(":")) {
        return missing("flags and other (? groups are not supported");
      }
    }
    ASSIGN_OR_RETURN(RegexNode inner, choice(depth + 1));
    if (!take(")")) return wrong("a ( without its )");
    if (!ahead && !look.negative) return inner;
    look.parts.push_back(std::move(inner));
    return look;
  }

  absl::StatusOr<RegexNode> atom(int depth) {
    if (take("(")) return group(depth);
    if (take("^")) return RegexNode{.kind = Kind::kBegin};
    if (take("$")) return RegexNode{.kind = Kind::kEnd};
    if (next_is("*") || next_is("+") || next_is("?") || next_is("{")) return wrong("nothing to repeat");
    RegexNode node{.kind = Kind::kSet};
    if (take(".")) {
      node.set = line_ends().inverse();
      return node;
    }
    if (take("[")) {
      ASSIGN_OR_RETURN(node.set, char_class());
      return node;
    }
    if (take("\\A")) return RegexNode{.kind = Kind::kBegin};
    if (take("\\z") || take("\\Z")) return RegexNode{.kind = Kind::kEnd};
    if (next_is("\\b") || next_is("\\B")) return missing("word boundaries are not supported");
    if (take("\\")) {
      ASSIGN_OR_RETURN(node.set, escape());
      return node;
    }
    ASSIGN_OR_RETURN(const char32_t c, code_point());
    node.set = CodePoints::range(c, c);
    return node;
  }

  absl::StatusOr<CodePoints> char_class() {
    CodePoints set;
    const bool negative = take("^");
    for (bool first = true; first || !next_is("]"); first = false) {
      if (done()) return wrong("a [ without its ]");
      if (first && next_is("]")) break;
      if (next_is("[:")) return missing("named classes as [:alpha:] are not supported");
      ASSIGN_OR_RETURN(const CodePoints from, class_member());
      const bool is_range = next_is("-") && !next_is("-]");
      const bool is_one = from.ranges().size() == 1 && from.ranges()[0].first == from.ranges()[0].second;
      if (!is_range || !is_one) {
        set |= from;
        continue;
      }
      take("-");
      ASSIGN_OR_RETURN(const CodePoints to, class_member());
      const char32_t first_char = from.ranges()[0].first;
      if (to.ranges().size() != 1 || to.ranges()[0].first != to.ranges()[0].second ||
          to.ranges()[0].first < first_char) {
        return wrong("a range in [ ] is out of order");
      }
      set |= CodePoints::range(first_char, to.ranges()[0].first);
    }
    take("]");
    return negative ? set.inverse() : set;
  }

  absl::StatusOr<CodePoints> class_member() {
    if (take("\\b")) return CodePoints::of("\b");
    if (take("\\")) return escape();
    ASSIGN_OR_RETURN(const char32_t c, code_point());
    return CodePoints::range(c, c);
  }

  absl::StatusOr<char32_t> hex(size_t n) {
    char32_t value = 0;
    for (size_t i = 0; i < n; ++i, ++at_) {
      const char c = done() ? ' ' : text_[at_];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return wrong("a hexadecimal digit is missing");
      value = value * 16 + static_cast<char32_t>(digit);
    }
    return value;
  }

  absl::StatusOr<CodePoints> unicode_escape() {
    char32_t c = 0;
    if (take("{")) {
      const size_t end = text_.find('}', at_);
      if (end == std::string_view::npos || end == at_ || end - at_ > 6) return wrong("\\u{ } holds one to six digits");
      ASSIGN_OR_RETURN(c, hex(end - at_));
      take("}");
    } else {
      ASSIGN_OR_RETURN(c, hex(4));
      if (c >= 0xD800 && c <= 0xDBFF && take("\\u")) {
        ASSIGN_OR_RETURN(const char32_t low, hex(4));
        if (low < 0xDC00 || low > 0xDFFF) return wrong("half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      }
    }
    if (c > kCodePointMax || (c >= 0xD800 && c <= 0xDFFF)) return wrong("no code point");
    return CodePoints::range(c, c);
  }

  absl::StatusOr<CodePoints> category(bool negative) {
    if (!take("{")) return wrong("\\p without its {");
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos) return wrong("a { without its }");
    std::string_view name = text_.substr(at_, end - at_);
    at_ = end + 1;
    for (const std::string_view prefix : {"gc=", "General_Category="}) {
      if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    }
    constexpr std::pair<std::string_view, std::string_view> kLongNames[] = {
        {"Letter", "L"}, {"Lowercase_Letter", "Ll"}, {"Uppercase_Letter", "Lu"},
        {"Number", "N"}, {"Decimal_Number", "Nd"},   {"Punctuation", "P"},
        {"Symbol", "S"}, {"Separator", "Z"},         {"Mark", "M"},
        {"digit", "Nd"}};
    for (const auto& [long_name, short_name] : kLongNames) {
      if (name == long_name) name = short_name;
    }
    CodePoints set;
    if (!category_of(name, set)) {
      return missing(absl::StrCat("\\p{", std::string(name), "} is not supported: general categories are"));
    }
    return negative ? set.inverse() : set;
  }

  // Behind the backslash.
  absl::StatusOr<CodePoints> escape() {
    constexpr std::pair<char, char> kControls[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'},
                                                   {'f', '\f'}, {'v', '\v'}, {'a', '\a'}};
    ASSIGN_OR_RETURN(const char32_t c, code_point());
    for (const auto& [letter, control] : kControls) {
      if (c == static_cast<char32_t>(letter)) return CodePoints::range(control, control);
    }
    switch (c) {
      case 'd':
        return digits();
      case 'D':
        return digits().inverse();
      case 'w':
        return word_chars();
      case 'W':
        return word_chars().inverse();
      case 's':
        return blanks();
      case 'S':
        return blanks().inverse();
      case 'x': {
        ASSIGN_OR_RETURN(const char32_t value, hex(2));
        return CodePoints::range(value, value);
      }
      case 'u':
        return unicode_escape();
      case 'p':
      case 'P':
        return category(c == 'P');
      case '0':
        return CodePoints::range(0, 0);
      case 'c': {
        ASSIGN_OR_RETURN(const char32_t letter, code_point());
        const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
        if (!is_letter) return wrong("\\c without its letter");
        return CodePoints::range(letter % 32, letter % 32);
      }
      default:
        break;
    }
    if (c >= '1' && c <= '9') return missing("backreferences are not supported");
    if (c == 'k') return missing("backreferences are not supported");
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_letter) return wrong("an escape that has no meaning");
    return CodePoints::range(c, c);
  }

  const std::string_view text_;
  const RegexLimits limits_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<RegexNode> parse_regex(std::string_view pattern, const RegexLimits& limits) {
  if (pattern.size() > limits.bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a regular expression has ", pattern.size(), " bytes, more than ", limits.bytes_max));
  }
  return Parser(pattern, limits).parse();
}

}  // namespace polymath::text::grammar
