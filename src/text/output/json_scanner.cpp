#include "text/output/json_scanner.h"

#include <cctype>
#include <string_view>

#include "absl/strings/str_format.h"

namespace polymath::text {
namespace {

bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

// Skips digits; false: there are none.
bool skip_digits(std::string_view& text) {
  const size_t before = text.size();
  while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
  return text.size() < before;
}

bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.size() > 1 && text[0] == '0' && is_digit(text[1])) return false;
  if (!skip_digits(text)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!skip_digits(text)) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (!skip_digits(text)) return false;
  }
  return text.empty();
}

}  // namespace

JsonScanner::Step JsonScanner::push(char byte) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kHex:
      return push_string(byte);
    case State::kWord:
      return push_word(byte);
    default:
      return is_blank(byte) ? Step::kMore : push_structure(byte);
  }
}

JsonScanner::Step JsonScanner::push_structure(char byte) {
  switch (state_) {
    case State::kFirstValue:
      if (byte == ']') return close(byte);
      return begin_value(byte);
    case State::kFirstKey:
      if (byte == '}') return close(byte);
      [[fallthrough]];
    case State::kKey:
      if (byte != '"') return Step::kBad;
      is_key_ = true;
      state_ = State::kString;
      return Step::kMore;
    case State::kColon:
      state_ = State::kValue;
      return byte == ':' ? Step::kMore : Step::kBad;
    case State::kNext:
      if (byte != ',') return close(byte);
      state_ = stack_.back() == '{' ? State::kKey : State::kValue;
      return Step::kMore;
    default:
      return begin_value(byte);
  }
}

JsonScanner::Step JsonScanner::begin_value(char byte) {
  if (byte == '{' || byte == '[') return open(byte);
  if (byte == '"') {
    state_ = State::kString;
    return Step::kMore;
  }
  if (!is_digit(byte) && byte != '-' && std::islower(static_cast<unsigned char>(byte)) == 0) return Step::kBad;
  word_ = byte;
  state_ = State::kWord;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::open(char bracket) {
  if (stack_.size() >= kDepthMax) return Step::kBad;
  stack_.push_back(bracket);
  state_ = bracket == '{' ? State::kFirstKey : State::kFirstValue;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::close(char bracket) {
  const char opened = bracket == '}' ? '{' : bracket == ']' ? '[' : '\0';
  if (stack_.empty() || stack_.back() != opened) return Step::kBad;
  stack_.pop_back();
  return end_value();
}

JsonScanner::Step JsonScanner::end_value() {
  state_ = State::kNext;
  return stack_.empty() ? Step::kDone : Step::kMore;
}

JsonScanner::Step JsonScanner::push_string(char byte) {
  if (state_ == State::kHex) {
    if (std::isxdigit(static_cast<unsigned char>(byte)) == 0) return Step::kBad;
    if (--hex_left_ == 0) state_ = State::kString;
    return Step::kMore;
  }
  if (state_ == State::kEscape) {
    if (std::string_view("\"\\/bfnrtu").find(byte) == std::string_view::npos) return Step::kBad;
    hex_left_ = 4;
    state_ = byte == 'u' ? State::kHex : State::kString;
    return Step::kMore;
  }
  if (byte == '\\') state_ = State::kEscape;
  if (byte != '"') return Step::kMore;
  if (!is_key_) return end_value();
  is_key_ = false;
  state_ = State::kColon;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::push_word(char byte) {
  const bool goes_on = std::isalnum(static_cast<unsigned char>(byte)) != 0 || byte == '.' || byte == '+' || byte == '-';
  if (goes_on) {
    constexpr size_t kWordMax = 400;  // digits of a number; more: no JSON for our readers
    if (word_.size() >= kWordMax) return Step::kBad;
    word_.push_back(byte);
    return Step::kMore;
  }
  if (!word_is_valid()) return Step::kBad;
  if (end_value() == Step::kDone) return Step::kEndedAt;
  return is_blank(byte) ? Step::kMore : push_structure(byte);
}

bool JsonScanner::word_is_valid() const {
  return word_ == "true" || word_ == "false" || word_ == "null" || is_number(word_);
}

void append_json_byte(std::string& out, char byte, bool in_string) {
  const auto code = static_cast<unsigned char>(byte);
  if (!in_string || code >= 0x20) {
    out.push_back(byte);
  } else if (byte == '\n') {
    out += "\\n";
  } else if (byte == '\t') {
    out += "\\t";
  } else {
    out += absl::StrFormat("\\u%04x", code);
  }
}

}  // namespace polymath::text
