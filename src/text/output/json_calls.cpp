// {"name": "f", "arguments": {...}}: alone, in a list, or one behind the other.

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "text/output/call_format.h"
#include "text/output/json_scanner.h"

namespace polymath::text {
namespace {

using base::JsonValue;

constexpr size_t kHeldArgumentsMax = 1u << 20;  // bytes of arguments before the name; more: no call
constexpr size_t kMemberMax = 4096;             // bytes of another member's key or value; more: no call

bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

std::optional<std::string> unquoted(std::string_view json) {
  const auto value = base::parse_json(json, {.mend_surrogates = true});
  if (!value.ok() || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

bool is_object(std::string_view text) {
  const auto value = base::parse_json(text, {.mend_surrogates = true});
  return value.ok() && value->is_object();
}

class JsonCalls : public CallMachine {
 public:
  explicit JsonCalls(const CallFormat& format) : format_(format), end_({format.end}) {}

  Step push(char byte, OutputEvents& out) override {
    const bool ok = push_state(byte, out);
    if (!ok) return Step::kBad;
    return ended_ ? Step::kDone : Step::kMore;
  }

  bool finish(OutputEvents&) override { return state_ == State::kBetween; }

 private:
  enum class State : uint8_t { kBetween, kKeyOrClose, kKey, kColon, kValueBegin, kValue, kNext };
  enum class Member : uint8_t { kName, kArguments, kOther };

  bool push_state(char byte, OutputEvents& out) {
    switch (state_) {
      case State::kBetween:
        return push_between(byte);
      case State::kKey:
        return push_key(byte);
      case State::kValue:
        return push_value(byte, out);
      default:
        return is_blank(byte) || push_structure(byte, out);
    }
  }

  bool push_between(char byte) {
    if (!end_.is_empty() || (!format_.end.empty() && byte == format_.end.front() && byte != '{')) return push_end(byte);
    if (is_blank(byte)) return true;
    switch (byte) {
      case '[':
        return !std::exchange(in_list_, true) && !after_call_;
      case ']':
        return close_list();
      case ',':
      case ';':
        return std::exchange(after_call_, false);
      case '{':
        return begin_object();
      default:
        return false;
    }
  }

  bool push_end(char byte) {
    const auto step = end_.push(byte);
    ended_ = step == MarkMatcher::Step::kMet;
    return step != MarkMatcher::Step::kBad;
  }

  bool close_list() {
    if (!std::exchange(in_list_, false)) return false;
    ended_ = format_.end.empty();
    return true;
  }

  bool begin_object() {
    state_ = State::kKeyOrClose;
    name_.reset();
    arguments_.reset();
    begun_ = streams_ = after_call_ = false;
    return true;
  }

  bool push_structure(char byte, OutputEvents& out) {
    switch (state_) {
      case State::kKeyOrClose:
      case State::kNext:
        if (byte == '}') return end_object(out);
        if (state_ == State::kNext && byte == ',') {
          state_ = State::kKeyOrClose;
          return true;
        }
        text_ = byte;
        scanner_ = JsonScanner();
        state_ = State::kKey;
        return byte == '"' && scanner_.push(byte) == JsonScanner::Step::kMore;
      case State::kColon:
        state_ = State::kValueBegin;
        return byte == ':';
      default:
        return begin_value(byte, out);
    }
  }

  bool push_key(char byte) {
    text_.push_back(byte);
    const auto step = scanner_.push(byte);
    if (step == JsonScanner::Step::kMore) return text_.size() < kMemberMax;
    const auto key = unquoted(text_);
    if (step != JsonScanner::Step::kDone || !key.has_value()) return false;
    const auto is_one_of = [&](const Marks& names) {
      return std::find(names.begin(), names.end(), *key) != names.end();
    };
    member_ = Member::kOther;
    if (format_.json.name_is_key && !name_.has_value()) {
      name_ = *key;
      member_ = Member::kArguments;
    } else if (is_one_of(format_.json.names)) {
      member_ = Member::kName;
    } else if (is_one_of(format_.json.arguments)) {
      member_ = Member::kArguments;
    }
    state_ = State::kColon;
    return true;
  }

  bool begin_value(char byte, OutputEvents& out) {
    text_.clear();
    scanner_ = JsonScanner();
    state_ = State::kValue;
    // Arguments in a string, and those of a call without a name yet, are shown when they are whole.
    const bool is_first = member_ == Member::kArguments && !arguments_.has_value();
    streams_ = is_first && byte == '{' && name_.has_value();
    if (streams_) {
      begin_call(out);
      arguments_ = "";
    }
    return push_value(byte, out);
  }

  bool push_value(char byte, OutputEvents& out) {
    const bool in_string = scanner_.in_string();
    const auto step = scanner_.push(byte);
    if (step == JsonScanner::Step::kBad) return false;
    if (step != JsonScanner::Step::kEndedAt) {
      std::string piece;
      append_json_byte(piece, byte, in_string);
      if (streams_) {
        append_event(out, OutputKind::kArguments, piece);
      } else {
        text_ += piece;
      }
    }
    const size_t most = member_ == Member::kArguments ? kHeldArgumentsMax : kMemberMax;
    if (step == JsonScanner::Step::kMore) return text_.size() <= most;
    state_ = State::kNext;
    if (!end_value(out)) return false;
    return step != JsonScanner::Step::kEndedAt || is_blank(byte) || push_structure(byte, out);
  }

  bool end_value(OutputEvents& out) {
    if (streams_ || member_ == Member::kOther) return true;
    if (member_ == Member::kName) {
      name_ = unquoted(text_);
      return name_.has_value() && !name_->empty() && name_->size() <= kCallNameMax;
    }
    if (arguments_.has_value()) return false;
    if (text_ == "null" || text_ == "\"\"") text_ = "{}";
    arguments_ = text_.starts_with('"') ? unquoted(text_) : text_;
    if (!arguments_.has_value() || !is_object(*arguments_)) return false;
    if (!name_.has_value()) return true;
    begin_call(out);
    append_event(out, OutputKind::kArguments, *arguments_);
    return true;
  }

  void begin_call(OutputEvents& out) {
    begun_ = true;
    append_event(out, OutputKind::kCallBegin, *name_);
  }

  bool end_object(OutputEvents& out) {
    if (!name_.has_value() || name_->empty()) return false;
    if (!arguments_.has_value() && format_.json.needs_arguments) return false;
    if (!begun_) {
      begin_call(out);
      append_event(out, OutputKind::kArguments, arguments_.value_or("{}"));
    }
    append_event(out, OutputKind::kCallEnd, "");
    state_ = State::kBetween;
    after_call_ = true;
    return true;
  }

  const CallFormat& format_;
  MarkMatcher end_;
  State state_ = State::kBetween;
  bool in_list_ = false, after_call_ = false, ended_ = false;
  // Of the current object.
  std::optional<std::string> name_, arguments_;
  bool begun_ = false;    // its events have begun
  bool streams_ = false;  // the current value's bytes are events
  Member member_ = Member::kOther;
  JsonScanner scanner_;
  std::string text_;  // the current key or value
};

}  // namespace

std::unique_ptr<CallMachine> make_json_calls(const CallFormat& format) { return std::make_unique<JsonCalls>(format); }

}  // namespace polymath::text
