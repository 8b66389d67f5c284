#pragma once

// A reply of server-sent events: gathered until flush(), begun late, kept alive while it is silent.
//
// The status line waits for the first event, at most silence_s_max. Until then a failure can still be an error status.
// Thread safety: none; one writer owns one.

#include <memory>
#include <string>
#include <string_view>

#include "server/http_server.h"

namespace polymath::api {

class EventStream {
 public:
  // `prefix` precedes the data of each event: "data: " or "data:". `silence_s_max` 0: no comments.
  EventStream(std::shared_ptr<server::HttpReply> reply, server::HttpHeaders headers, std::string_view prefix,
              double silence_s_max);

  void open();  // sends the status line
  bool is_open() const { return open_; }
  // One event. Opens the stream. `data`: one line.
  void event(std::string_view data);
  // The same with the event's name before its data.
  void named_event(std::string_view name, std::string_view data);
  // Writes what was gathered; without it a comment, if the stream was silent for too long.
  void flush();
  void close();  // flushes, and ends the reply

 private:
  const std::shared_ptr<server::HttpReply> reply_;
  const server::HttpHeaders headers_;
  const std::string_view prefix_;
  const double silence_s_max_;
  std::string pending_;
  double written_at_;
  bool open_ = false;  // the status line was sent
  bool closed_ = false;
};

}  // namespace polymath::api
