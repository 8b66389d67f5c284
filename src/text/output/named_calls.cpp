// f<mark>{...}: a header with the name, then JSON arguments. Mistral's newer models write them, and its older ones
// JSON.

#include <optional>

#include "text/output/call_format.h"
#include "text/output/json_scanner.h"

namespace polymath::text {
namespace {

constexpr size_t kHeaderMax = kCallNameMax + 256;  // bytes before the arguments; more: no call

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

struct CallHeader {
  std::string name, id;
};

// functions.f:0 -> f
std::optional<std::string> name_in_id(std::string_view id) {
  if (id.starts_with("functions.")) id.remove_prefix(std::string_view("functions.").size());
  const size_t colon = id.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  return std::string(id.substr(0, colon));
}

// A header that the pattern fits. Blanks at its ends do not count.
std::optional<CallHeader> read_header(std::string_view pattern, std::string_view header) {
  CallHeader out;
  header = trimmed(header);
  while (!pattern.empty()) {
    const size_t open = pattern.find('{');
    const std::string_view literal = trimmed(pattern.substr(0, open));
    if (!header.starts_with(literal)) return std::nullopt;
    header.remove_prefix(literal.size());
    if (open == std::string_view::npos) break;
    const size_t close = pattern.find('}', open);
    const bool is_id = pattern.substr(open, close - open) == "{id";
    pattern.remove_prefix(close + 1);
    const std::string_view next = trimmed(pattern.substr(0, pattern.find('{')));
    const size_t end = next.empty() ? header.size() : header.find(next);
    if (end == std::string_view::npos) return std::nullopt;
    (is_id ? out.id : out.name) = trimmed(header.substr(0, end));
    header.remove_prefix(end);
  }
  if (!header.empty()) return std::nullopt;
  if (out.name.empty()) {
    auto name = name_in_id(out.id);
    if (!name.has_value()) return std::nullopt;
    out.name = *std::move(name);
  }
  const bool has_marks = out.name.find_first_of("<>[]{}\"\n ") != std::string::npos;
  if (has_marks || out.name.size() > kCallNameMax) return std::nullopt;
  return out;
}

class NamedCalls : public CallMachine {
 public:
  NamedCalls(const CallFormat& format, bool in_call)
      : format_(format), marks_(marks_of(format)), state_(in_call ? State::kHeader : State::kBetween) {}

  Step push(char byte, OutputEvents& out) override {
    switch (state_) {
      case State::kBetween:
        return push_between(byte);
      case State::kHeader:
        return push_header(byte, out);
      case State::kArguments:
        return push_arguments(byte, out);
    }
    return Step::kBad;
  }

  bool finish(OutputEvents&) override { return state_ == State::kBetween; }

 private:
  enum class State : uint8_t { kBetween, kHeader, kArguments };

  // The next call's, the end's, then those without a meaning of their own.
  static Marks marks_of(const CallFormat& format) {
    Marks marks = {format.named.call_begin, format.end};
    marks.insert(marks.end(), format.named.tails.begin(), format.named.tails.end());
    return marks;
  }

  Step push_between(char byte) {
    if (marks_.is_empty() && (byte == ' ' || byte == '\n')) return Step::kMore;
    switch (marks_.push(byte)) {
      case MarkMatcher::Step::kMet:
        if (marks_.met() == 1) return Step::kDone;
        if (marks_.met() == 0) state_ = State::kHeader;
        return Step::kMore;
      case MarkMatcher::Step::kBad:
        return Step::kBad;
      default:
        return Step::kMore;
    }
  }

  Step push_header(char byte, OutputEvents& out) {
    if (byte != '{') {
      header_.push_back(byte);
      return header_.size() > kHeaderMax ? Step::kBad : Step::kMore;
    }
    for (const std::string_view pattern : format_.named.headers) {
      auto header = read_header(pattern, header_);
      if (!header.has_value()) continue;
      header_.clear();
      scanner_ = JsonScanner();
      state_ = State::kArguments;
      append_event(out, OutputKind::kCallBegin, header->name);
      out.back().id = std::move(header->id);
      return push_arguments(byte, out);
    }
    return Step::kBad;
  }

  Step push_arguments(char byte, OutputEvents& out) {
    const bool in_string = scanner_.in_string();
    const auto step = scanner_.push(byte);
    if (step == JsonScanner::Step::kBad) return Step::kBad;
    std::string piece;
    append_json_byte(piece, byte, in_string);
    append_event(out, OutputKind::kArguments, piece);
    if (step != JsonScanner::Step::kDone) return Step::kMore;
    append_event(out, OutputKind::kCallEnd, "");
    state_ = State::kBetween;
    return Step::kMore;
  }

  const CallFormat& format_;
  MarkMatcher marks_;
  State state_;
  std::string header_;
  JsonScanner scanner_;
};

// [TOOL_CALLS][{"name": ...}], or [TOOL_CALLS]f[ARGS]{...}
class MistralCalls : public CallMachine {
 public:
  explicit MistralCalls(const CallFormat& format) : format_(format) {}

  Step push(char byte, OutputEvents& out) override {
    if (machine_ == nullptr) {
      if (byte == ' ' || byte == '\n') return Step::kMore;
      const bool is_json = byte == '[' || byte == '{';
      machine_ = is_json ? make_json_calls(format_) : make_named_calls(format_, /*in_call=*/true);
    }
    return machine_->push(byte, out);
  }
  bool finish(OutputEvents& out) override { return machine_ != nullptr && machine_->finish(out); }

 private:
  const CallFormat& format_;
  std::unique_ptr<CallMachine> machine_;
};

}  // namespace

std::unique_ptr<CallMachine> make_named_calls(const CallFormat& format, bool in_call) {
  return std::make_unique<NamedCalls>(format, in_call);
}

std::unique_ptr<CallMachine> make_mistral_calls(const CallFormat& format) {
  return std::make_unique<MistralCalls>(format);
}

}  // namespace polymath::text
