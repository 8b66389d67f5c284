#include "api/event_stream.h"

#include <utility>

#include "base/clock.h"

namespace polymath::api {
namespace {

// A comment alone. A blank line behind it would end an event, and some parsers deliver the empty one.
constexpr std::string_view kKeepAlive = ": keep-alive\n";

}  // namespace

EventStream::EventStream(std::shared_ptr<server::HttpReply> reply, server::HttpHeaders headers, std::string_view prefix,
                         double silence_s_max)
    : reply_(std::move(reply)),
      headers_(std::move(headers)),
      prefix_(prefix),
      silence_s_max_(silence_s_max),
      written_at_(base::steady_seconds()) {}

void EventStream::open() {
  if (open_) return;
  open_ = true;
  reply_->start_stream(200, "text/event-stream; charset=utf-8", headers_);
}

void EventStream::event(std::string_view data) {
  open();
  pending_ += prefix_;
  pending_ += data;
  pending_ += "\n\n";
}

void EventStream::named_event(std::string_view name, std::string_view data) {
  open();
  pending_ += "event: ";
  pending_ += name;
  pending_ += '\n';
  event(data);
}

void EventStream::flush() {
  const double now = base::steady_seconds();
  if (pending_.empty()) {
    if (closed_ || silence_s_max_ == 0 || now - written_at_ < silence_s_max_) return;
    open();
    pending_ = kKeepAlive;
  }
  written_at_ = now;
  reply_->write(std::exchange(pending_, {}));
}

void EventStream::close() {
  flush();
  closed_ = true;
  reply_->end();
}

}  // namespace polymath::api
