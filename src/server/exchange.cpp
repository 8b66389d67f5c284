#include "server/exchange.h"

#include "base/log.h"
#include "server/quietly.h"
#include "server/response_head.h"

namespace polymath::server {

void Exchange::wake_locked() noexcept {
  if (wake_posted_) return;
  wake_posted_ = true;
  if (const auto sink = sink_.lock()) sink->wake();
}

bool Exchange::closes_locked() const {
  return traits_.close || (traits_.closing != nullptr && traits_.closing->load());
}

// Wakes again even if a wake is posted: that one may have found a write that never ends.
void Exchange::trouble_locked(Trouble trouble) noexcept {
  trouble_ = trouble;
  wake_posted_ = false;
  wake_locked();
}

void Exchange::send(int status, std::string_view content_type, std::string body, const HttpHeaders& extra) {
  Callbacks released;  // destroyed after the lock is released: a callback may own the reply
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kOpen) return;
  const bool close = closes_locked();
  std::string response = make_response_head({.status = status,
                                             .content_type = content_type,
                                             .extra = &extra,
                                             .server = &traits_.server_headers,
                                             .content_length = body.size(),
                                             .close = close});
  if (!traits_.head_only && status_has_body(status)) response += body;
  pending_.swap(response);  // nothing is changed where an allocation fails before
  traits_.close = close;
  phase_ = Phase::kEnded;
  status_ = status;
  released.swap(gone_callbacks_);
  wake_locked();
}

void Exchange::start_stream(int status, std::string_view content_type, HttpHeaders extra) {
  const bool events = content_type.starts_with("text/event-stream");
  if (events) {
    extra.emplace_back("Cache-Control", "no-cache");
    extra.emplace_back("X-Accel-Buffering", "no");
  }
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kOpen) return;
  body_allowed_ = !traits_.head_only && status_has_body(status);
  // HTTP/1.0 has no chunks: the connection's end marks the body's end.
  traits_.close = closes_locked() || (!traits_.http11 && body_allowed_);
  pending_ = make_response_head({.status = status,
                                 .content_type = content_type,
                                 .extra = &extra,
                                 .server = &traits_.server_headers,
                                 .chunked = traits_.http11,
                                 .close = traits_.close});
  phase_ = Phase::kStreaming;
  events_ = events;
  status_ = status;
  wake_locked();
}

void Exchange::write(std::string_view chunk) {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kStreaming || trouble_ != Trouble::kNone || chunk.empty() || !body_allowed_) return;
  if (pending_.size() + taken_bytes_ + chunk.size() > traits_.stream_buffer_bytes_max) {
    return trouble_locked(Trouble::kOverrun);
  }
  append_locked(chunk);
}

// Half a chunk cannot be taken back: a failed allocation cuts the stream.
void Exchange::append_locked(std::string_view chunk) noexcept {
  const bool appended = quietly("a stream's buffer", [&] {
    if (!traits_.http11) {
      pending_ += chunk;
    } else if (chunk.empty()) {
      pending_ += kLastChunk;
    } else {
      append_chunk(pending_, chunk);
    }
  });
  appended ? wake_locked() : trouble_locked(Trouble::kAbandoned);
}

void Exchange::end() {
  Callbacks released;
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kStreaming || trouble_ != Trouble::kNone) return;
  if (traits_.http11 && body_allowed_) append_locked({});
  if (trouble_ != Trouble::kNone) return;
  phase_ = Phase::kEnded;
  released.swap(gone_callbacks_);
  wake_locked();
}

void Exchange::on_gone(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::kEnded) return;
    if (phase_ != Phase::kGone) {
      gone_callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

void Exchange::abandon(const ErrorBody& error_body, std::string_view path) noexcept {
  bool unanswered = false;
  {
    const std::lock_guard lock(mutex_);
    unanswered = phase_ == Phase::kOpen;
    if (phase_ == Phase::kStreaming && trouble_ == Trouble::kNone) {
      trouble_locked(Trouble::kAbandoned);
    }
  }
  if (!unanswered) return;
  const bool answered = quietly("an answer of 500", [&] {
    base::log_error("server", "a handler dropped its reply; answered 500");
    send(500, "application/json", error_body({500, "the server lost this request", path}), {});
  });
  if (answered) return;
  const std::lock_guard lock(mutex_);
  trouble_locked(Trouble::kAbandoned);
}

void Exchange::close_connection() {
  const std::lock_guard lock(mutex_);
  traits_.close = true;
}

bool Exchange::take(std::string& out) {
  const std::lock_guard lock(mutex_);
  wake_posted_ = false;
  out.swap(pending_);
  taken_bytes_ = out.size();
  return phase_ == Phase::kEnded;
}

void Exchange::written(size_t bytes) {
  const std::lock_guard lock(mutex_);
  taken_bytes_ -= bytes;
}

bool Exchange::nudge() {
  constexpr std::string_view kEmptyComment = ":\n";
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::kStreaming || !events_) return false;
  }
  write(kEmptyComment);
  return true;
}

void Exchange::set_gone() noexcept {
  Callbacks callbacks;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::kEnded || phase_ == Phase::kGone) return;
    phase_ = Phase::kGone;
    release(pending_);
    callbacks.swap(gone_callbacks_);
  }
  for (const auto& callback : callbacks) quietly("a callback of on_gone", callback);
}

bool Exchange::gone() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::kGone;
}

bool Exchange::begun() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::kStreaming || phase_ == Phase::kEnded;
}

int Exchange::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

bool Exchange::closes() const {
  const std::lock_guard lock(mutex_);
  return traits_.close;
}

Exchange::Trouble Exchange::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

namespace {

class Reply final : public HttpReply {
 public:
  Reply(std::shared_ptr<Exchange> exchange, ErrorBody error_body, std::string path)
      : exchange_(std::move(exchange)), error_body_(std::move(error_body)), path_(std::move(path)) {}
  ~Reply() override { exchange_->abandon(error_body_, path_); }

  void send(int status, std::string_view content_type, std::string body, HttpHeaders extra) override {
    exchange_->send(status, content_type, std::move(body), extra);
  }
  void start_stream(int status, std::string_view content_type, HttpHeaders extra) override {
    exchange_->start_stream(status, content_type, std::move(extra));
  }
  void write(std::string chunk) override { exchange_->write(chunk); }
  void end() override { exchange_->end(); }
  void on_gone(std::function<void()> callback) override { exchange_->on_gone(std::move(callback)); }
  bool gone() const override { return exchange_->gone(); }

 private:
  const std::shared_ptr<Exchange> exchange_;
  const ErrorBody error_body_;
  const std::string path_;
};

}  // namespace

std::shared_ptr<HttpReply> make_reply(std::shared_ptr<Exchange> exchange, ErrorBody error_body, std::string path) {
  return std::make_shared<Reply>(std::move(exchange), std::move(error_body), std::move(path));
}

}  // namespace polymath::server
