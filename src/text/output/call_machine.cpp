#include "text/output/call_machine.h"

#include <utility>

namespace polymath::text {

void append_event(OutputEvents& events, OutputKind kind, std::string_view text) {
  const bool joins = kind != OutputKind::kCallBegin && kind != OutputKind::kCallEnd;
  if (joins && text.empty()) return;
  if (joins && !events.empty() && events.back().kind == kind) {
    events.back().text += text;
  } else {
    events.push_back({kind, std::string(text), {}, -1});
  }
}

void append_event(OutputEvents& events, const OutputEvent& event) {
  const bool is_mark = event.kind == OutputKind::kCallBegin || event.kind == OutputKind::kCallEnd;
  if (event.text.empty() && !is_mark) return;
  append_event(events, event.kind, event.text);
  events.back().call = event.call;
  if (event.kind == OutputKind::kCallBegin) events.back().id = event.id;
}

MarkMatcher::Step MarkMatcher::push(char byte) {
  seen_.push_back(byte);
  bool may_come = false;
  for (size_t i = 0; i < marks_.size(); ++i) {
    if (!marks_[i].starts_with(seen_)) continue;
    may_come = true;
    if (marks_[i].size() > seen_.size()) continue;
    met_ = i;
    seen_.clear();
    return Step::kMet;
  }
  if (may_come) return Step::kMore;
  seen_.clear();
  return Step::kBad;
}

}  // namespace polymath::text
