// gpt-oss's channels: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
//
// A message to functions.f is a call. Source: openai-harmony's format guide.

#include <algorithm>
#include <array>
#include <optional>

#include "text/output/json_scanner.h"
#include "text/output/output_parser.h"

namespace polymath::text {
namespace {

constexpr std::string_view kMessage = "<|message|>", kChannel = "<|channel|>";
constexpr std::array<std::string_view, 5> kEnds = {"<|end|>", "<|call|>", "<|return|>", "<|start|>", kChannel};
constexpr size_t kHeaderMax = kCallNameMax + 256;  // a longer one is text

enum class Kind : uint8_t { kHeader, kReasoning, kContent, kCall };

struct Header {
  Kind kind = Kind::kContent;
  std::string function;
};

Header read_header(std::string_view text, bool with_calls) {
  Header out;
  const size_t to = text.find("to=");
  const size_t channel = text.find(kChannel);
  std::string_view name =
      channel == std::string_view::npos ? std::string_view() : text.substr(channel + kChannel.size());
  if (to != std::string_view::npos && with_calls) {
    std::string_view function = text.substr(to + 3);
    function = function.substr(0, function.find_first_of(" <"));
    if (function.starts_with("functions.")) function.remove_prefix(std::string_view("functions.").size());
    out.function = function;
    if (!out.function.empty() && out.function != "assistant") out.kind = Kind::kCall;
  }
  if (out.kind != Kind::kCall && name.starts_with("analysis")) out.kind = Kind::kReasoning;
  return out;
}

class HarmonyParser : public OutputParser {
 public:
  explicit HarmonyParser(bool with_calls) : with_calls_(with_calls) {}

  void push(std::string_view text, OutputEvents& events) override {
    for (const char byte : text) {
      if (header_.kind == Kind::kHeader) {
        push_header(byte, events);
      } else {
        push_body(byte, events);
      }
    }
  }

  void finish(OutputEvents& events) override {
    if (header_.kind == Kind::kHeader) {
      if (text_.find("<|") == std::string::npos && !text_.starts_with("assistant")) show(Kind::kContent, text_, events);
      text_.clear();
      return;
    }
    for (const char byte : std::exchange(text_, {})) take(byte, events);
    end_message(events);
  }

  bool in_reasoning() const override { return header_.kind == Kind::kHeader || header_.kind == Kind::kReasoning; }
  bool in_reasoning_text() const override { return header_.kind == Kind::kReasoning; }

 private:
  void push_header(char byte, OutputEvents& events) {
    text_.push_back(byte);
    if (text_.ends_with(kMessage)) {
      header_ = read_header(std::string_view(text_).substr(0, text_.size() - kMessage.size()), with_calls_);
      text_.clear();
      scanner_ = JsonScanner();
      begins_ = true;
      call_state_ = CallState::kHeld;
    } else if (text_.size() > kHeaderMax) {
      header_ = {.kind = Kind::kContent, .function = {}};
      begins_ = true;
      for (const char text : std::exchange(text_, {})) take(text, events);
    }
  }

  // Bytes that may be a mark wait in text_.
  void push_body(char byte, OutputEvents& events) {
    text_.push_back(byte);
    while (!text_.empty()) {
      const auto met = std::find(kEnds.begin(), kEnds.end(), text_);
      if (met != kEnds.end()) {
        end_message(events);
        text_ = *met == kChannel ? std::string(kChannel) : "";
        return;
      }
      const bool may_be_mark =
          std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view mark) { return mark.starts_with(text_); });
      if (may_be_mark) return;
      take(text_.front(), events);
      text_.erase(0, 1);
    }
  }

  void take(char byte, OutputEvents& events) {
    if (header_.kind != Kind::kCall) return show(header_.kind, std::string_view(&byte, 1), events);
    if (call_state_ == CallState::kText) return show(Kind::kContent, std::string_view(&byte, 1), events);
    if (call_state_ == CallState::kWhole) {
      if (byte != ' ' && byte != '\n') show(Kind::kContent, std::string_view(&byte, 1), events);
      return;
    }
    const bool is_first = raw_.empty() && call_state_ == CallState::kHeld;
    if (is_first && (byte == ' ' || byte == '\n')) return;
    const bool in_string = scanner_.in_string();
    const auto step = is_first && byte != '{' ? JsonScanner::Step::kBad : scanner_.push(byte);
    append_json_byte(arguments_, byte, in_string);
    raw_.push_back(byte);
    if (step == JsonScanner::Step::kBad || step == JsonScanner::Step::kEndedAt) return give_up(events);
    if (call_state_ == CallState::kHeld && raw_.size() > kHeldBytes) {
      append_event(events, OutputKind::kCallBegin, header_.function);
      call_state_ = CallState::kShown;
    }
    if (step == JsonScanner::Step::kDone) return end_call(events);
    if (call_state_ != CallState::kShown) return;
    append_event(events, OutputKind::kArguments, std::exchange(arguments_, {}));
    raw_.clear();
  }

  void end_call(OutputEvents& events) {
    if (call_state_ == CallState::kHeld) append_event(events, OutputKind::kCallBegin, header_.function);
    append_event(events, OutputKind::kArguments, std::exchange(arguments_, {}));
    append_event(events, OutputKind::kCallEnd, "");
    raw_.clear();
    call_state_ = CallState::kWhole;
  }

  // The message is no call after all.
  void give_up(OutputEvents& events) {
    if (call_state_ == CallState::kShown) append_event(events, OutputKind::kCallEnd, "");
    call_state_ = CallState::kText;
    arguments_.clear();
    show(Kind::kContent, std::exchange(raw_, {}), events);
  }

  void end_message(OutputEvents& events) {
    const bool is_open =
        header_.kind == Kind::kCall && (call_state_ == CallState::kHeld || call_state_ == CallState::kShown);
    if (is_open) give_up(events);
    header_ = {.kind = Kind::kHeader, .function = {}};
  }

  void show(Kind kind, std::string_view text, OutputEvents& events) {
    if (text.empty()) return;
    bool& has_text = kind == Kind::kReasoning ? has_reasoning_ : has_content_;
    const OutputKind shown = kind == Kind::kReasoning ? OutputKind::kReasoning : OutputKind::kContent;
    if (begins_ && has_text) append_event(events, shown, "\n");  // between two messages
    begins_ = false;
    has_text = true;
    append_event(events, shown, text);
  }

  enum class CallState : uint8_t { kHeld, kShown, kWhole, kText };

  const bool with_calls_;
  Header header_{.kind = Kind::kHeader, .function = {}};  // of the current message; kHeader: it is being read
  std::string text_;                                      // the header so far, or what may be a mark
  bool begins_ = true;                                    // nothing of the message was shown
  bool has_content_ = false, has_reasoning_ = false;
  // Of the current call.
  CallState call_state_ = CallState::kHeld;
  JsonScanner scanner_;
  std::string arguments_, raw_;  // not shown yet: as JSON, and as written
};

}  // namespace

std::unique_ptr<OutputParser> make_harmony_parser(bool with_calls) {
  return std::make_unique<HarmonyParser>(with_calls);
}

}  // namespace polymath::text
