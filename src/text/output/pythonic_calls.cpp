// [f(a=1, b="x"), g()]: Python's calls with keyword arguments. A call is shown when it is whole.

#include <cctype>
#include <optional>

#include "base/json.h"
#include "text/output/call_format.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr size_t kCallMax = 1u << 20;  // bytes of a call; more: no call
constexpr int kDepthMax = 64;          // of a literal; deeper: no call

bool is_word(char byte) { return std::isalnum(static_cast<unsigned char>(byte)) != 0 || byte == '_'; }

// Python literals -> JSON text. Every function takes the text's beginning; false: it is none.
class PythonReader {
 public:
  explicit PythonReader(std::string_view text) : text_(text) {}

  // a=1, b="x") -> {"a": 1, "b": "x"}
  std::optional<std::string> arguments() {
    std::string out = "{";
    for (bool first = true; !take(')'); first = false) {
      if (!first && !take(',')) return std::nullopt;
      if (!first && take(')')) break;
      const std::string key = word();
      if (key.empty() || !take('=')) return std::nullopt;
      out += (first ? "" : ", ") + base::json_string(key) + ": ";
      if (!value(out, 0)) return std::nullopt;
    }
    skip_blanks();
    if (!text_.empty()) return std::nullopt;
    return out + "}";
  }

 private:
  void skip_blanks() {
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_.front())) != 0) text_.remove_prefix(1);
  }

  bool take(char byte) {
    skip_blanks();
    if (!text_.starts_with(byte)) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string word() {
    skip_blanks();
    std::string out;
    while (!text_.empty() && is_word(text_.front())) {
      out.push_back(text_.front());
      text_.remove_prefix(1);
    }
    return out;
  }

  bool value(std::string& out, int depth) {
    skip_blanks();
    if (text_.empty() || depth > kDepthMax) return false;
    switch (text_.front()) {
      case '[':
        return list(out, ']', depth);
      case '(':
        return list(out, ')', depth);
      case '{':
        return dict(out, depth);
      case '"':
      case '\'':
        return string(out);
      default:
        return scalar(out);
    }
  }

  bool list(std::string& out, char close, int depth) {
    text_.remove_prefix(1);
    out += '[';
    for (bool first = true; !take(close); first = false) {
      if (!first && !take(',')) return false;
      if (!first && take(close)) break;
      if (!first) out += ", ";
      if (!value(out, depth + 1)) return false;
    }
    out += ']';
    return true;
  }

  bool dict(std::string& out, int depth) {
    text_.remove_prefix(1);
    out += '{';
    for (bool first = true; !take('}'); first = false) {
      if (!first && !take(',')) return false;
      if (!first && take('}')) break;
      if (!first) out += ", ";
      skip_blanks();
      if (!text_.starts_with('"') && !text_.starts_with('\'')) return false;
      if (!string(out) || !take(':')) return false;
      out += ": ";
      if (!value(out, depth + 1)) return false;
    }
    out += '}';
    return true;
  }

  bool scalar(std::string& out) {
    std::string token;
    while (!text_.empty() && (is_word(text_.front()) || std::string_view("+-.").find(text_.front()) < 3)) {
      token.push_back(text_.front());
      text_.remove_prefix(1);
    }
    if (token == "True" || token == "true") return add(out, "true");
    if (token == "False" || token == "false") return add(out, "false");
    if (token == "None" || token == "null") return add(out, "null");
    std::erase(token, '_');
    const auto number = base::parse_json(token, {});
    return number.ok() && number->is_number() && add(out, token);
  }

  static bool add(std::string& out, std::string_view text) {
    out += text;
    return true;
  }

  bool string(std::string& out) {
    const char quote = text_.front();
    text_.remove_prefix(1);
    std::string plain;
    while (!text_.empty() && text_.front() != quote) {
      const char byte = text_.front();
      text_.remove_prefix(1);
      if (byte != '\\') {
        plain.push_back(byte);
      } else if (!escape(plain)) {
        return false;
      }
    }
    if (text_.empty()) return false;
    text_.remove_prefix(1);
    out += base::json_string(sanitize_utf8(plain));
    return true;
  }

  // Behind the backslash. An escape that Python does not know keeps its backslash.
  bool escape(std::string& out) {
    if (text_.empty()) return false;
    const char byte = text_.front();
    text_.remove_prefix(1);
    constexpr std::string_view kNames = "ntrbfav0\\'\"\n", kBytes("\n\t\r\b\f\a\v\0\\'\"", 11);
    const size_t at = kNames.find(byte);
    if (at < kBytes.size()) {
      out.push_back(kBytes[at]);
    } else if (at == std::string_view::npos && byte != 'x' && byte != 'u') {
      out += '\\';
      out += byte;
    } else if (byte != '\n') {
      return code_point(out, byte == 'x' ? 2 : 4);
    }
    return true;
  }

  bool code_point(std::string& out, size_t digits) {
    if (text_.size() < digits) return false;
    const std::string hex(text_.substr(0, digits));
    const std::string json = "\"\\u" + std::string(4 - digits, '0') + hex;
    // A surrogate pair is one character.
    const bool is_pair = digits == 4 && text_.substr(4).starts_with("\\u") && text_.size() >= 10;
    const std::string pair = is_pair ? json + std::string(text_.substr(4, 6)) + "\"" : "";
    auto read = base::parse_json(is_pair ? pair : json + "\"", {.mend_surrogates = true});
    text_.remove_prefix(is_pair && read.ok() ? 10 : digits);
    if (is_pair && !read.ok()) read = base::parse_json(json + "\"", {.mend_surrogates = true});
    if (!read.ok()) return false;
    out += std::string_view(read->get_string().data(), read->get_string().size());
    return true;
  }

  std::string_view text_;
};

class PythonicCalls : public CallMachine {
 public:
  explicit PythonicCalls(const CallFormat& format) : format_(format), end_({format.end}) {}

  Step push(char byte, OutputEvents& out) override {
    if (!call_.empty()) return push_call(byte, out) ? Step::kMore : Step::kBad;
    if (!end_.is_empty() || (!format_.end.empty() && byte == format_.end.front())) return push_end(byte);
    if (std::isspace(static_cast<unsigned char>(byte)) != 0) return Step::kMore;
    return push_between(byte);
  }

  bool finish(OutputEvents&) override { return call_.empty(); }

 private:
  Step push_end(char byte) {
    switch (end_.push(byte)) {
      case MarkMatcher::Step::kMet:
        return Step::kDone;
      case MarkMatcher::Step::kBad:
        return Step::kBad;
      default:
        return Step::kMore;
    }
  }

  Step push_between(char byte) {
    const bool may_list = !format_.lines;
    if (may_list && byte == '[' && !in_list_) {
      in_list_ = true;
      return Step::kMore;
    }
    if (byte == ']' && in_list_) {
      in_list_ = false;
      return format_.end.empty() ? Step::kDone : Step::kMore;
    }
    if (byte == ',' && after_call_) {
      after_call_ = false;
      return Step::kMore;
    }
    if (!is_word(byte) || (may_list && (!in_list_ || after_call_))) return Step::kBad;
    call_ = byte;
    depth_ = 0;
    quote_ = '\0';
    return Step::kMore;
  }

  bool push_call(char byte, OutputEvents& out) {
    call_.push_back(byte);
    if (call_.size() > kCallMax) return false;
    if (quote_ != '\0') {
      if (is_escaped_) {
        is_escaped_ = false;
      } else if (byte == '\\') {
        is_escaped_ = true;
      } else if (byte == quote_) {
        quote_ = '\0';
      }
      return true;
    }
    if (depth_ == 0 && byte != '(')
      return (is_word(byte) || byte == '.' || byte == '-') && call_.size() <= kCallNameMax;
    if (byte == '"' || byte == '\'') quote_ = byte;
    if (byte == '(' || byte == '[' || byte == '{') ++depth_;
    if (byte == ')' || byte == ']' || byte == '}') --depth_;
    return depth_ > 0 || end_call(out);
  }

  bool end_call(OutputEvents& out) {
    const size_t open = call_.find('(');
    const auto arguments = PythonReader(std::string_view(call_).substr(open + 1)).arguments();
    if (!arguments.has_value()) return false;
    append_event(out, OutputKind::kCallBegin, std::string_view(call_).substr(0, open));
    append_event(out, OutputKind::kArguments, *arguments);
    append_event(out, OutputKind::kCallEnd, "");
    call_.clear();
    after_call_ = true;
    return true;
  }

  const CallFormat& format_;
  MarkMatcher end_;
  bool in_list_ = false, after_call_ = false;
  std::string call_;  // the current one; empty: between calls
  int depth_ = 0;     // open brackets of it
  char quote_ = '\0';
  bool is_escaped_ = false;
};

}  // namespace

std::unique_ptr<CallMachine> make_pythonic_calls(const CallFormat& format) {
  return std::make_unique<PythonicCalls>(format);
}

}  // namespace polymath::text
