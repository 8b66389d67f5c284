#include "commands/load/answer_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace polymath::commands::load {
namespace {

constexpr std::string_view kDone = "[DONE]";

}  // namespace

AnswerReader::AnswerReader(const Dialect& dialect, double epoch, bool keep_answer)
    : dialect_(dialect), epoch_(epoch), keep_answer_(keep_answer) {}

absl::Status AnswerReader::on_body(const http::ResponseHead& head, std::string_view piece, double now) {
  if (head.status != 200) {
    body_.append(piece.substr(0, kRefusalBytesMax - std::min(body_.size(), kRefusalBytesMax)));
    return absl::OkStatus();
  }
  if (!dialect_.streams) {
    if (body_.size() + piece.size() > kAnswerBytesMax) return absl::ResourceExhaustedError("a very long answer");
    body_ += piece;
    return absl::OkStatus();
  }
  if (head.media_type != "text/event-stream") {
    return absl::InvalidArgumentError(absl::StrCat("no stream of events but `", head.media_type, "`"));
  }
  return splitter_.feed(piece, [&](std::string_view data) { return on_event(data, now); });
}

absl::Status AnswerReader::on_event(std::string_view data, double now) {
  if (data == kDone) {
    ended_ = true;
    return absl::OkStatus();
  }
  const auto json = base::parse_json(data, {.mend_surrogates = true, .non_finite = true});
  if (!json.ok()) return absl::InvalidArgumentError(absl::StrCat("an event is no JSON: ", json.status().message()));
  return on_facts(dialect_.read(*json), now);
}

absl::Status AnswerReader::on_facts(const EventFacts& facts, double now) {
  if (!facts.error.empty()) return absl::UnavailableError(facts.error);
  const int tokens = count_.add(facts);
  if (tokens > 0 && dialect_.streams) record.events.push_back({now - epoch_, tokens});
  if (facts.prompt_total.has_value()) record.prompt_tokens = *facts.prompt_total;
  ended_ |= facts.ended;
  if (!keep_answer_) return absl::OkStatus();
  text_ += facts.text;
  if (facts.ids.has_value()) ids_.insert(ids_.end(), facts.ids->begin(), facts.ids->end());
  return absl::OkStatus();
}

// Why a response that arrived whole is no answer.
absl::Status AnswerReader::end_error(const http::ResponseHead& head) {
  if (head.status != 200) {
    const std::string text = error_text(body_);
    return absl::UnavailableError(text.empty() ? "no words" : text);
  }
  if (!dialect_.streams) RETURN_IF_ERROR(on_event(body_, record.end + epoch_));
  return ended_ ? absl::OkStatus() : absl::DataLossError("the answer stopped before its end");
}

void AnswerReader::on_end(const absl::Status& status, const http::ResponseHead& head, double now) {
  record.end = now - epoch_;
  record.status = head.status;
  const absl::Status error = status.ok() ? end_error(head) : status;
  if (!error.ok()) record.error = error.message().empty() ? "failed" : std::string(error.message());
  record.output_tokens = count_.total();
  record.counted = count_.counted();
  on_done(*this);
}

}  // namespace polymath::commands::load
