#pragma once

// Splits a stream of server-sent events (WHATWG HTML, 9.2) that is cut anywhere into the data of its events. Comments,
// names, ids and retry times are skipped.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace polymath::commands::http {

class SseSplitter {
 public:
  using OnEvent = std::function<absl::Status(std::string_view data)>;

  // `event_bytes_max`: of one event's lines together; more: kResourceExhausted.
  explicit SseSplitter(size_t event_bytes_max) : event_bytes_max_(event_bytes_max) {}

  // Calls on_event for each event that ends within `bytes`; its error ends the call.
  absl::Status feed(std::string_view bytes, const OnEvent& on_event);

 private:
  absl::Status end_line(const OnEvent& on_event);

  const size_t event_bytes_max_;
  std::string line_;           // the unfinished one
  std::string data_;           // of the event so far, each line ended by \n
  size_t event_bytes_ = 0;     // of whole lines of the event
  bool skip_newline_ = false;  // the last byte was \r
  bool first_line_ = true;
};

}  // namespace polymath::commands::http
