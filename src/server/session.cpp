#include "server/session.h"

#include <boost/asio/post.hpp>

#include "base/log.h"
#include "server/response_head.h"

namespace polymath::server {
namespace {

// Bytes of later requests that are read ahead. Beyond: reading stops until the current answer is written.
constexpr size_t kReadAheadBytesMax = 16u << 10;
// Seconds for a peer to read the last response before the connection is cut.
constexpr double kLingerSeconds = 2;

}  // namespace

Session::Session(std::shared_ptr<Core> core, std::unique_ptr<Transport> transport, std::string peer)
    : core_(std::move(core)),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      parser_(std::make_unique<RequestParser>(core_->options.limits)),
      timer_(transport_->socket().get_executor()) {
  due_.fill(Clock::time_point::max());
}

void Session::start() {
  boost::asio::post(transport_->socket().get_executor(), [self = shared_from_this()] {
    self->set_due(kReadBy, self->core_->options.limits.header_timeout_s);
    self->transport_->handshake([self](const Transport::Error& error) {
      if (self->phase_ == Phase::kClosed) return;
      if (error) return self->drop("handshake failed");
      self->begin();
    });
  });
}

void Session::refuse() {
  boost::asio::post(transport_->socket().get_executor(), [self = shared_from_this()] {
    self->input_unread_ = true;
    self->answer_and_close(503, "too many connections", {{"Retry-After", "1"}});
  });
}

void Session::close() {
  boost::asio::post(transport_->socket().get_executor(), [self = shared_from_this()] { self->shut(false); });
}

void Session::begin() {
  phase_ = Phase::kHead;
  watch_for_errors();
  arm_read();
}

void Session::arm_read() {
  if (reading_ || end_of_input_ || phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kReply && in_.size() >= kReadAheadBytesMax) return;
  reading_ = true;
  transport_->read_some(
      boost::asio::buffer(buffer_),
      [self = shared_from_this()](const Transport::Error& error, size_t bytes) { self->on_read(error, bytes); });
}

void Session::on_read(const Transport::Error& error, size_t bytes) {
  reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error && (phase_ == Phase::kLinger || !is_half_close(error))) {
    end_of_input_ = true;
    return phase_ == Phase::kLinger ? shut(false) : drop("connection lost");
  }
  if (error) return on_end_of_input();
  if (phase_ != Phase::kLinger) {
    in_.append(buffer_.data(), bytes);
    advance();
  }
  arm_read();
}

// The peer ended its sending side. Its earlier requests are still answered.
void Session::on_end_of_input() {
  end_of_input_ = true;
  if (phase_ == Phase::kReply) {
    probe_interval_s_ = 1;
    return probe();
  }
  advance();
}

// Parses the bytes read so far, up to the end of one request.
void Session::advance() {
  while (phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody) {
    if (phase_ == Phase::kIdle && !in_.empty()) {
      phase_ = Phase::kHead;
      set_due(kReadBy, core_->options.limits.header_timeout_s);
    }
    size_t consumed = 0;
    const auto step = parser_->feed(in_, consumed);
    in_.erase(0, consumed);
    if (step == RequestParser::Step::kHead) {
      on_head();
    } else if (step == RequestParser::Step::kComplete) {
      dispatch();
    } else if (step == RequestParser::Step::kRefused) {
      input_unread_ = true;
      answer_and_close(parser_->refusal().status, parser_->refusal().message);
    } else {
      if (!end_of_input_) return;
      if (!parser_->started()) return shut(false);
      answer_and_close(400, "the request ends too early");
    }
  }
}

void Session::on_head() {
  phase_ = Phase::kBody;
  set_due(kReadBy, core_->options.limits.body_timeout_s);
  if (core_->in_flight.full(core_->options.limits.requests_in_flight_max)) {
    core_->limits_hit.warn("requests_in_flight_max reached: answering 503");
    input_unread_ = true;
    return answer_and_close(503, "the server is overloaded", {{"Retry-After", "1"}});
  }
  const HttpRequest& request = parser_->request();
  const auto match = core_->router.find(request.method, request.path);
  if (match.handler == nullptr) {  // no handler will read the body
    if (reads_refused_body()) return;
    input_unread_ = true;
    const std::string message = core_->router.miss(match, request.method, request.path);
    if (match.path.empty()) return answer_and_close(404, message);
    return answer_and_close(405, message, {{"Allow", match.allow}});
  }
  if (!pass_gate() || !parser_->expects_continue()) return;
  if (in_.empty()) {
    interim_ += kContinue;
    pump();
  }
}

// Whether a refused request's body is read and dropped, so that the connection can carry the next request.
bool Session::reads_refused_body() const {
  const std::optional<uint64_t> bytes = parser_->body_bytes();
  return !parser_->expects_continue() && bytes.has_value() && *bytes <= core_->options.limits.refused_body_bytes_max;
}

// False: the request is refused. It is answered already, unless its body is read first.
bool Session::pass_gate() {
  HttpRequest& request = parser_->request();
  request.peer = peer_;
  if (!core_->gate) return true;
  HttpServer::Admission admission = core_->gate(request);
  request.principal = std::move(admission.principal);
  request.ticket = std::move(admission.ticket);
  refusal_ = std::move(admission.refusal);
  if (refusal_ == nullptr) return true;
  if (reads_refused_body()) return false;
  input_unread_ = true;
  open_last_exchange();
  answer_refusal();
  return false;
}

void Session::watch_for_errors() {
  transport_->wait_for_error([self = shared_from_this()] {
    if (self->phase_ == Phase::kClosed || self->phase_ == Phase::kLinger) return;
    if (self->transport_->broken()) return self->drop("connection reset");
    self->watch_for_errors();
  });
}

// Ends our side and discards further input. Closing a socket with unread input would reset it, and the peer might lose
// the response.
void Session::linger() {
  phase_ = Phase::kLinger;
  transport_->finish_writing(input_unread_, shared_from_this());
  if (end_of_input_) return shut(false);
  in_ = std::string();
  clear_due(kWriteBy);
  set_due(kReadBy, kLingerSeconds);
  arm_read();
}

// Closes with a reset: the peer has gone, or hit a limit.
void Session::drop(std::string_view why) {
  if (phase_ == Phase::kClosed) return;
  base::log_debug("server", peer_, ": ", absl::string_view(why.data(), why.size()));
  shut(true);
}

void Session::shut(bool reset) {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  timer_.cancel();
  transport_->close(reset);
  in_ = std::string();
  writing_ = std::string();
  if (const auto exchange = exchange_) {
    record_exchange();
    exchange_.reset();
    exchange->set_gone();
  }
  in_flight_.reset();
  core_->sessions.remove(this);
}

}  // namespace polymath::server
