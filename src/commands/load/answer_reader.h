#pragma once

// Reads one response in a dialect and fills its record.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "commands/http/http_client.h"
#include "commands/http/sse.h"
#include "commands/load/dialect.h"
#include "commands/load/record.h"
#include "commands/load/token_count.h"

namespace polymath::commands::load {

inline constexpr size_t kEventBytesMax = 4 << 20;     // of one event; more: the request fails
inline constexpr size_t kAnswerBytesMax = 64 << 20;   // of an answer that comes at once; more: the request fails
inline constexpr size_t kRefusalBytesMax = 64 << 10;  // of an error's body; the rest is not kept

class AnswerReader : public http::ResponseHandler {
 public:
  // `epoch`: steady seconds of the run's start. `keep_answer`: a next turn needs its text and ids.
  // `on_done` is called last; it may send.
  AnswerReader(const Dialect& dialect, double epoch, bool keep_answer);

  std::function<void(AnswerReader&)> on_done;
  Record record;
  int conversation = 0;
  const std::string& text() const { return text_; }
  const std::vector<int32_t>& ids() const { return ids_; }

  absl::Status on_body(const http::ResponseHead& head, std::string_view piece, double now) override;
  void on_end(const absl::Status& status, const http::ResponseHead& head, double now) override;

 private:
  absl::Status on_event(std::string_view data, double now);
  absl::Status on_facts(const EventFacts& facts, double now);
  absl::Status end_error(const http::ResponseHead& head);

  const Dialect& dialect_;
  const double epoch_;
  const bool keep_answer_;
  http::SseSplitter splitter_{kEventBytesMax};
  TokenCount count_;
  std::string body_;  // of an error, or of an answer at once
  std::string text_;
  std::vector<int32_t> ids_;
  bool ended_ = false;  // the answer's end was seen
};

}  // namespace polymath::commands::load
