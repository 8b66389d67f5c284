#include "text/output/output_parser.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace polymath::text {
namespace {

constexpr size_t kTriedAgainMax = 512;  // of a longer text that is no call, no other call is sought in

bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

enum class MarkKind : uint8_t { kCalls, kReasoningBegin, kReasoningEnd, kRemoved };

struct Mark {
  std::string_view text;
  MarkKind kind;
};

std::vector<Mark> all_marks(const OutputFormat& format) {
  std::vector<Mark> out;
  const auto add = [&](const std::vector<std::string_view>& texts, MarkKind kind) {
    for (const std::string_view text : texts) out.push_back({text, kind});
  };
  if (format.calls != nullptr) add(format.calls->begins, MarkKind::kCalls);
  if (format.reasoning != nullptr) {
    add(format.reasoning->begins, MarkKind::kReasoningBegin);
    add(format.reasoning->ends, MarkKind::kReasoningEnd);
    add(format.reasoning->removed, MarkKind::kRemoved);
  }
  // Where one begins another, the longer one counts.
  std::stable_sort(out.begin(), out.end(), [](const Mark& a, const Mark& b) { return a.text.size() > b.text.size(); });
  return out;
}

class MarkedParser : public OutputParser {
 public:
  MarkedParser(const OutputFormat& format, const OutputOptions& options)
      : format_(format),
        types_(options.types != nullptr ? options.types : std::make_shared<const ToolTypes>()),
        marks_(all_marks(format)),
        in_reasoning_(options.in_reasoning),
        has_structure_(options.in_reasoning) {}

  void push(std::string_view text, OutputEvents& events) override {
    input_ += text;
    run(/*is_last=*/false, events);
    input_.erase(0, safe_);
    at_ -= safe_;
    plain_until_ -= std::min(plain_until_, safe_);
    safe_ = 0;
  }

  void finish(OutputEvents& events) override {
    run(/*is_last=*/true, events);
    while (machine_ != nullptr) {
      const bool is_whole = machine_->finish(held_);
      if (is_whole) {
        end_machine(events);
      } else {
        drop_machine(events, /*tries_again=*/false);
      }
      run(/*is_last=*/true, events);
    }
    if (!has_structure_) append_event(events, OutputKind::kContent, std::exchange(blank_, {}));
  }

  bool in_reasoning() const override { return in_reasoning_; }
  bool in_reasoning_text() const override { return in_reasoning_ && machine_ == nullptr; }

 private:
  void run(bool is_last, OutputEvents& events) {
    while (at_ < input_.size()) {
      if (machine_ != nullptr) {
        step_machine(events);
      } else if (!step_text(is_last, events)) {
        return;
      }
    }
  }

  // One byte or one mark. False: more text is needed.
  bool step_text(bool is_last, OutputEvents& events) {
    if (at_ >= plain_until_) {
      const std::string_view rest = std::string_view(input_).substr(at_);
      if (const auto mark = mark_at(rest)) {
        take_mark(*mark);
        return true;
      }
      const bool may_be_mark = std::any_of(marks_.begin(), marks_.end(), [&](const Mark& mark) {
        return mark.text.size() > rest.size() && mark.text.starts_with(rest) && counts(mark);
      });
      if (may_be_mark && !is_last) return false;
      if (begins_bare(rest.front())) {
        begin_machine("");
        return true;
      }
    }
    take_byte(input_[at_], events);
    ++at_;
    safe_ = at_;
    return true;
  }

  std::optional<Mark> mark_at(std::string_view rest) const {
    const auto found = std::find_if(marks_.begin(), marks_.end(),
                                    [&](const Mark& mark) { return rest.starts_with(mark.text) && counts(mark); });
    return found == marks_.end() ? std::nullopt : std::optional<Mark>(*found);
  }

  // Once the content has begun, marks of reasoning are words of it.
  bool counts(const Mark& mark) const {
    if (mark.kind == MarkKind::kReasoningBegin) return !has_content_ && !in_reasoning_;
    return mark.kind != MarkKind::kReasoningEnd || in_reasoning_ || !has_content_;
  }

  // Calls without a mark begin the content.
  bool begins_bare(char byte) const {
    if (format_.calls == nullptr || in_reasoning_ || has_content_) return false;
    return !format_.calls->bare.empty() && format_.calls->bare.find(byte) != std::string_view::npos;
  }

  void take_mark(const Mark& mark) {
    if (mark.kind == MarkKind::kCalls) return begin_machine(mark.text);
    at_ += mark.text.size();
    safe_ = at_;
    blank_.clear();
    has_structure_ = true;
    if (mark.kind == MarkKind::kReasoningEnd) in_reasoning_ = false;
    if (mark.kind != MarkKind::kReasoningBegin) return;
    in_reasoning_ = true;
    if (has_reasoning_) blank_ = "\n";  // between two stretches of reasoning
  }

  void take_byte(char byte, OutputEvents& events) {
    if (is_blank(byte)) {
      blank_.push_back(byte);
      return;
    }
    bool& has_text = in_reasoning_ ? has_reasoning_ : has_content_;
    const OutputKind kind = in_reasoning_ ? OutputKind::kReasoning : OutputKind::kContent;
    if (has_text || !has_structure_) append_event(events, kind, blank_);
    blank_.clear();
    has_text = true;
    append_event(events, kind, std::string_view(&byte, 1));
  }

  void begin_machine(std::string_view mark) {
    machine_ = make_call_machine(*format_.calls, mark, *types_);
    safe_ = at_;
    at_ += mark.size();
    shows_ = has_calls_ = false;
  }

  void step_machine(OutputEvents& events) {
    const auto step = machine_->push(input_[at_], held_);
    if (step == CallMachine::Step::kBad) return drop_machine(events, /*tries_again=*/true);
    ++at_;
    const bool call_ended = !held_.empty() && held_.back().kind == OutputKind::kCallEnd;
    if (call_ended) {
      show_held(events);
      shows_ = false;
      has_calls_ = true;
      safe_ = at_;
    } else if (shows_ || (!held_.empty() && at_ - safe_ > kHeldBytes)) {
      show_held(events);
      shows_ = true;
      safe_ = at_;
    }
    if (step == CallMachine::Step::kDone) end_machine(events);
  }

  void show_held(OutputEvents& events) {
    blank_.clear();
    has_structure_ = true;
    for (const OutputEvent& event : held_) append_event(events, event);
    held_.clear();
  }

  void end_machine(OutputEvents& events) {
    if (!has_calls_ && held_.empty()) return drop_machine(events, /*tries_again=*/false);  // nothing but marks
    if (!held_.empty()) show_held(events);
    machine_.reset();
    shows_ = false;
    safe_ = at_;
  }

  // What was read since the last whole call is text, but a part that was shown stays a call.
  void drop_machine(OutputEvents& events, bool tries_again) {
    const bool was_shown = shows_;
    if (was_shown) append_event(events, OutputKind::kCallEnd, "");
    held_.clear();
    machine_.reset();
    shows_ = false;
    if (!tries_again || at_ - safe_ > kTriedAgainMax) {
      plain_until_ = at_;
    } else if (!has_calls_ && !was_shown) {
      plain_until_ = safe_ + 1;
    }
    at_ = safe_;
  }

  const OutputFormat format_;
  const std::shared_ptr<const ToolTypes> types_;
  const std::vector<Mark> marks_;
  std::string input_;       // from the last safe place on
  size_t at_ = 0;           // the next byte
  size_t safe_ = 0;         // all before it is decided
  size_t plain_until_ = 0;  // up to here nothing is a mark
  std::string blank_;       // blanks whose fate the next byte decides
  bool in_reasoning_, has_structure_;
  bool has_content_ = false, has_reasoning_ = false;

  std::unique_ptr<CallMachine> machine_;  // null: in text
  OutputEvents held_;                     // of the current call, not shown yet
  bool has_calls_ = false;                // a call of the machine has ended
  bool shows_ = false;                    // the current call was shown before it is whole
};

}  // namespace

bool OutputFormat::is_harmony() const {
  return (calls != nullptr && calls->family == CallFamily::kHarmony) || (reasoning != nullptr && reasoning->is_harmony);
}

std::vector<std::string_view> marks_of(const OutputFormat& format) {
  std::vector<std::string_view> out;
  if (format.is_harmony()) {
    out = {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"};
  }
  for (const Mark& mark : all_marks(format)) out.push_back(mark.text);
  if (format.calls == nullptr) return out;
  const CallFormat::Tagged& tagged = format.calls->tagged;
  const CallFormat::Named& named = format.calls->named;
  for (const std::string_view text :
       {format.calls->end, named.call_begin, tagged.call_begin, tagged.name_end, tagged.call_end, tagged.key_begin,
        tagged.key_end, tagged.value_begin, tagged.value_end}) {
    if (!text.empty()) out.push_back(text);
  }
  out.insert(out.end(), named.headers.begin(), named.headers.end());
  out.insert(out.end(), named.tails.begin(), named.tails.end());
  return out;
}

std::unique_ptr<OutputParser> make_output_parser(const OutputFormat& format, const OutputOptions& options) {
  if (format.is_harmony()) return make_harmony_parser(format.calls != nullptr);
  return std::make_unique<MarkedParser>(format, options);
}

}  // namespace polymath::text
