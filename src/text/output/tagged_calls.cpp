// <function=f><parameter=a>1</parameter></function>: values between tags, made JSON by the functions' declarations.

#include <optional>

#include "base/json.h"
#include "text/output/call_format.h"
#include "text/output/json_scanner.h"

namespace polymath::text {
namespace {

constexpr size_t kKeyMax = 1024;     // bytes of a parameter's name; more: no call
constexpr size_t kShownAtOnce = 16;  // bytes of a string's piece

bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

// The text as JSON, also as Python writes it; text that is no JSON is a string.
std::string as_json(std::string_view text) {
  if (text == "True") return "true";
  if (text == "False") return "false";
  if (text == "None") return "null";
  const auto value = base::parse_json(text, {});
  return value.ok() ? base::to_text(*value) : base::json_string(text);
}

class TaggedCalls : public CallMachine {
 public:
  TaggedCalls(const CallFormat& format, bool in_call, const ToolTypes& types)
      : tags_(format.tagged),
        types_(types),
        between_({tags_.call_begin, format.end}),
        members_({tags_.call_end, tags_.key_begin}),
        gap_({tags_.value_begin}),
        state_(in_call || tags_.call_begin.empty() ? State::kName : State::kBetween) {}

  Step push(char byte, OutputEvents& out) override {
    switch (state_) {
      case State::kBetween:
        if (between_.is_empty() && is_blank(byte)) return Step::kMore;
        return push_between(byte);
      case State::kName:
        return push_name(byte, out) ? Step::kMore : Step::kBad;
      case State::kMembers:
        if (members_.is_empty() && is_blank(byte)) return Step::kMore;
        return push_members(byte, out);
      case State::kKey:
        return push_key(byte) ? Step::kMore : Step::kBad;
      case State::kGap:
        if (gap_.is_empty() && is_blank(byte)) return Step::kMore;
        return push_gap(byte);
      case State::kValue:
        push_value(byte, out);
        return Step::kMore;
    }
    return Step::kBad;
  }

  bool finish(OutputEvents&) override { return state_ == State::kBetween; }

 private:
  enum class State : uint8_t { kBetween, kName, kMembers, kKey, kGap, kValue };

  Step push_between(char byte) {
    switch (between_.push(byte)) {
      case MarkMatcher::Step::kMet:
        if (between_.met() == 1) return Step::kDone;
        state_ = State::kName;
        return Step::kMore;
      case MarkMatcher::Step::kBad:
        return Step::kBad;
      default:
        return Step::kMore;
    }
  }

  bool push_name(char byte, OutputEvents& out) {
    const bool by_line = tags_.name_end.empty();
    const bool ends_here = by_line && (byte == '\n' || byte == '<');
    if (!ends_here) name_.push_back(byte);
    if (!by_line && name_.ends_with(tags_.name_end)) {
      name_.resize(name_.size() - tags_.name_end.size());
    } else if (!ends_here) {
      return name_.size() <= kCallNameMax;
    }
    while (by_line && !name_.empty() && is_blank(name_.back())) name_.pop_back();
    if (name_.empty() || name_.find_first_of("<>{}[]\" \n") != std::string::npos) return false;
    append_event(out, OutputKind::kCallBegin, name_);
    append_event(out, OutputKind::kArguments, "{");
    is_first_ = true;
    state_ = State::kMembers;
    return byte != '<' || !ends_here || members_.push(byte) != MarkMatcher::Step::kBad;
  }

  Step push_members(char byte, OutputEvents& out) {
    switch (members_.push(byte)) {
      case MarkMatcher::Step::kBad:
        return Step::kBad;
      case MarkMatcher::Step::kMore:
        return Step::kMore;
      case MarkMatcher::Step::kMet:
        break;
    }
    if (members_.met() == 1) {
      key_.clear();
      state_ = State::kKey;
      return Step::kMore;
    }
    append_event(out, OutputKind::kArguments, "}");
    append_event(out, OutputKind::kCallEnd, "");
    name_.clear();
    state_ = State::kBetween;
    return tags_.call_begin.empty() ? Step::kDone : Step::kMore;
  }

  bool push_key(char byte) {
    key_.push_back(byte);
    if (!key_.ends_with(tags_.key_end)) return key_.size() <= kKeyMax;
    key_.resize(key_.size() - tags_.key_end.size());
    const auto type = types_.of(name_, key_);
    is_string_ = type == ParameterType::kString || (type == ParameterType::kUnknown && !tags_.untyped_is_json);
    if (tags_.string_attribute) read_attribute();
    value_.clear();
    shown_ = 0;
    opened_ = false;
    state_ = tags_.value_begin.empty() ? State::kValue : State::kGap;
    return !key_.empty();
  }

  // a" string="true
  void read_attribute() {
    constexpr std::string_view kAttribute = "\" string=\"";
    const size_t at = key_.find(kAttribute);
    if (at == std::string::npos) return;
    is_string_ = std::string_view(key_).substr(at + kAttribute.size()) == "true";
    key_.resize(at);
  }

  Step push_gap(char byte) {
    const auto step = gap_.push(byte);
    if (step == MarkMatcher::Step::kBad) return Step::kBad;
    if (step == MarkMatcher::Step::kMet) state_ = State::kValue;
    return Step::kMore;
  }

  void push_value(char byte, OutputEvents& out) {
    value_.push_back(byte);
    if (value_.ends_with(tags_.value_end)) {
      value_.resize(value_.size() - tags_.value_end.size());
      return end_value(out);
    }
    if (!is_string_) return;
    // What may still be the end, and the newline before it, wait.
    const size_t held = tags_.value_end.size() + 1;
    if (value_.size() < shown_ + held + kShownAtOnce) return;
    show(value_.size() - held, out);
  }

  void end_value(OutputEvents& out) {
    std::string_view value = value_;
    if (tags_.trims_newlines && value.ends_with('\n') && value.size() > begin_of_value()) value.remove_suffix(1);
    value_.resize(value.size());
    if (is_string_) {
      show(value_.size(), out);
      append_event(out, OutputKind::kArguments, "\"");
    } else {
      begin_member(out);
      append_event(out, OutputKind::kArguments, as_json(std::string_view(value_).substr(begin_of_value())));
    }
    state_ = State::kMembers;
  }

  size_t begin_of_value() const { return tags_.trims_newlines && value_.starts_with('\n') ? 1 : 0; }

  void begin_member(OutputEvents& out) {
    append_event(out, OutputKind::kArguments, (is_first_ ? "" : ", ") + base::json_string(key_) + ": ");
    is_first_ = false;
  }

  // The string's bytes up to `end`, in whole characters.
  void show(size_t end, OutputEvents& out) {
    if (!opened_) {
      opened_ = true;
      shown_ = begin_of_value();
      begin_member(out);
      append_event(out, OutputKind::kArguments, "\"");
    }
    while (end > shown_ && end < value_.size() && (static_cast<unsigned char>(value_[end]) & 0xC0) == 0x80) --end;
    if (end <= shown_) return;
    const std::string piece = base::json_string(std::string_view(value_).substr(shown_, end - shown_));
    append_event(out, OutputKind::kArguments, std::string_view(piece).substr(1, piece.size() - 2));
    shown_ = end;
  }

  const CallFormat::Tagged& tags_;
  const ToolTypes& types_;
  MarkMatcher between_, members_, gap_;
  State state_;
  std::string name_, key_, value_;
  bool is_first_ = true;    // no parameter precedes
  bool is_string_ = false;  // the current value
  bool opened_ = false;     // its quote was shown
  size_t shown_ = 0;        // bytes of it
};

}  // namespace

std::unique_ptr<CallMachine> make_tagged_calls(const CallFormat& format, bool in_call, const ToolTypes& types) {
  return std::make_unique<TaggedCalls>(format, in_call, types);
}

}  // namespace polymath::text
