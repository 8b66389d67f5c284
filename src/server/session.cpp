#include "server/session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"
#include "server/response_head.h"

namespace polymath::server {
namespace {

// Bytes of later requests that are read ahead. Beyond: reading stops until the current answer is written.
constexpr size_t kReadAheadBytesMax = 16u << 10;
// Seconds for a connection beyond connections_max to send a head. Beyond: 503.
constexpr double kSpareHeadSeconds = 1;
// One part in so many of the bodies' budget is for small bodies alone.
constexpr size_t kSmallBodiesShare = 8;
// Bytes of a body that are charged beyond those that have come: as many again, within these bounds. So bodies that are
// announced and never sent take little of the budget.
constexpr size_t kChargedAtLeast = 4u << 10, kChargedAtMost = 256u << 10;
constexpr size_t kBodyProgressBytes = 1u << 10;  // of a body: with so many more it does not give way yet
constexpr std::string_view kNoBodyMemory = "the bodies of all requests together take too much memory now";
// Seconds for a peer to read the last response before the connection is cut.
constexpr double kLingerSeconds = 2;

}  // namespace

Session::Session(std::shared_ptr<Core> core, std::unique_ptr<Transport> transport, Peer peer, Sessions::Class kind)
    : core_(std::move(core)),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      kind_(kind),
      parser_(std::make_unique<RequestParser>(core_->options.limits)),
      timer_(transport_->socket().get_executor()) {
  due_.fill(Clock::time_point::max());
}

void Session::start() {
  boost::asio::post(transport_->socket().get_executor(), [self = shared_from_this()] {
    self->guarded([&] {
      const int seconds = self->core_->options.limits.header_timeout_s;
      self->set_due(kReadBy, self->kind_ == Sessions::Class::kSpare ? kSpareHeadSeconds : seconds);
      self->transport_->handshake([self](const Transport::Error& error) {
        if (self->phase_ == Phase::kClosed) return;
        if (error) return self->drop("handshake failed");
        self->guarded([&] { self->begin(); });
      });
    });
  });
}

void Session::close() {
  boost::asio::post(transport_->socket().get_executor(), [self = shared_from_this()] { self->shut(false); });
}

void Session::give_way() {
  boost::asio::post(transport_->socket().get_executor(), [self = shared_from_this()] {
    const bool headless = self->phase_ == Phase::kHandshake || self->phase_ == Phase::kHead;
    const bool answered = self->phase_ == Phase::kLinger || (self->phase_ == Phase::kIdle && self->in_.empty());
    const bool unanswered = headless || (self->phase_ == Phase::kBody && !self->write_active_);
    if (self->unread_ && self->write_active_) return self->drop("reads too slowly");
    if (!unanswered && !answered) return;
    const bool plain = self->core_->options.tls_key_file.empty();
    if (unanswered && plain) self->core_->refuse(self->transport_->socket().native_handle());
    self->shut(false);
  });
}

void Session::end_after_exception() noexcept {
  if (phase_ == Phase::kClosed) return;
  release(in_);
  body_memory_.reset();
  const bool unanswered = phase_ == Phase::kHead || phase_ == Phase::kBody;
  if (unanswered && exchange_ == nullptr) {
    if (parser_->has_head()) release(parser_->request().body);
    const bool answered = quietly("an answer of 503", [this] {
      input_unread_ = true;
      answer_and_close(503, "the server has no memory for this request now", {{"Retry-After", "1"}});
    });
    if (answered) return;
  }
  shut(true);
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
  transport_->read_some(boost::asio::buffer(buffer_),
                        [self = shared_from_this()](const Transport::Error& error, size_t bytes) {
                          self->guarded([&] { self->on_read(error, bytes); });
                        });
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
    if (phase_ == Phase::kBody && !charge_body()) {
      core_->limits_hit.warn("body_bytes_total_max reached: answering 503");
      input_unread_ = true;
      return answer_and_close(503, kNoBodyMemory, {{"Retry-After", "1"}});
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
    } else if (!end_of_input_) {
      if (phase_ == Phase::kHead && std::exchange(idle_, false)) {
        core_->sessions.mark(*this, Sessions::Standing::kHeadless);
      }
      if (phase_ == Phase::kBody) mark_body();
      return;
    } else {
      if (!parser_->started()) return shut(false);
      answer_and_close(400, "the request ends too early");
    }
  }
}

// True: the server or this connection takes no such request now. It is answered.
bool Session::refuse_without_room() {
  std::string_view message;
  if (kind_ == Sessions::Class::kSpare && !match_.is_probe()) {
    message = "too many connections";
    core_->limits_hit.warn("connections_max reached: answering 503");
  } else if (!match_.is_probe() && core_->in_flight.full(core_->options.limits.requests_in_flight_max)) {
    message = "the server is overloaded";
    core_->sessions.make_room_of_unread();
    core_->limits_hit.warn("requests_in_flight_max reached: answering 503");
  }
  if (message.empty()) return false;
  input_unread_ = true;
  answer_and_close(503, message, {{"Retry-After", "1"}});
  return true;
}

void Session::on_head() {
  phase_ = Phase::kBody;
  idle_ = false;
  core_->sessions.mark(*this, Sessions::Standing::kBusy);
  body_since_ = Clock::now();
  body_marked_ = false;
  set_due(kReadBy, body_seconds_max());
  HttpRequest& request = parser_->request();
  match_ = core_->router.find(request.method, request.path);
  request.route = match_.number;
  if (kind_ == Sessions::Class::kProbePort && !match_.is_probe()) {
    input_unread_ = true;
    return answer_and_close(404, "this port answers probes alone");
  }
  if (refuse_without_room() || !pass_gate() || refuse_without_handler()) return;
  if (!body_fits() || !parser_->expects_continue()) return;
  if (in_.empty()) {
    interim_ += kContinue;
    pump();
  }
}

// True: no handler will read the body. The request is answered already, unless its body is read first.
bool Session::refuse_without_handler() {
  if (match_.handler != nullptr) return false;
  if (reads_refused_body()) return true;
  input_unread_ = true;
  open_last_exchange();
  answer_miss();
  return true;
}

// Bytes of the bodies' budget that a body leaves to others. Large ones leave some to small ones.
size_t Session::kept_for_small(size_t body_bytes) const {
  const bool small = body_bytes <= core_->options.limits.small_body_bytes_max;
  return small ? 0 : core_->bodies.bytes_max() / kSmallBodiesShare;
}

// False: there is no memory for the body now. The request is answered, before its body is read.
bool Session::body_fits() {
  const size_t bytes = parser_->body_bytes().value_or(0);
  base::ByteGrant attempt(
      core_->bodies);  // a body is charged as it arrives: a client may announce much and send little
  if (attempt.grow_to(bytes, kept_for_small(bytes))) return true;
  core_->limits_hit.warn("body_bytes_total_max reached: answering 503");
  input_unread_ = true;
  answer_and_close(503, kNoBodyMemory, {{"Retry-After", "1"}});
  return false;
}

// Makes room in the body for the bytes that were read. False: the budget of all bodies has too little. A body of known
// size gets its memory at once: pages without a byte cost nothing, and growing would copy.
bool Session::charge_body() {
  std::string& body = parser_->request().body;
  const std::optional<uint64_t> said = parser_->body_bytes();
  const size_t bytes_max = said.value_or(core_->options.limits.body_bytes_max);
  const size_t needed = std::min(body.size() + in_.size(), bytes_max);
  const size_t charged = body_memory_ == nullptr ? 0 : body_memory_->bytes();
  if (needed <= charged) return true;
  const size_t ahead = std::clamp(needed, kChargedAtLeast, kChargedAtMost);
  const size_t wanted = std::min(said ? needed + ahead : std::max(needed, 2 * charged), bytes_max);
  if (body_memory_ == nullptr) body_memory_ = std::make_shared<base::ByteGrant>(core_->bodies);
  if (!body_memory_->grow_to(wanted, kept_for_small(wanted))) return false;
  body.reserve(said ? bytes_max : wanted);
  return true;
}

// Tells Sessions that more of the body has come: it gives way to new connections only where it comes slowly.
void Session::mark_body() {
  const size_t bytes = parser_->request().body.size();
  if (body_marked_ && bytes < body_marked_bytes_ + kBodyProgressBytes) return;
  body_marked_ = true;
  body_marked_bytes_ = bytes;
  core_->sessions.mark(*this, Sessions::Standing::kBody);
}

// From its head on a body may take so long, for the bytes that have come.
double Session::body_seconds_max() const {
  const HttpLimits& limits = core_->options.limits;
  const double bytes = static_cast<double>(parser_->request().body.size());
  return std::min<double>(limits.body_timeout_s, limits.body_grace_s + bytes / limits.body_bytes_per_s_min);
}

// Whether a refused request's body is read and dropped, so that the connection can carry the next request.
bool Session::reads_refused_body() const {
  const std::optional<uint64_t> bytes = parser_->body_bytes();
  return !parser_->expects_continue() && bytes.has_value() && *bytes <= core_->options.limits.refused_body_bytes_max;
}

// False: the request is refused. It is answered already, unless its body is read first.
bool Session::pass_gate() {
  HttpRequest& request = parser_->request();
  request.peer = peer_.name;
  request.address = peer_.address;
  request.local = peer_.local;
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
    self->guarded([&] { self->watch_for_errors(); });
  });
}

// Ends our side and discards further input. Closing a socket with unread input would reset it, and the peer might lose
// the response.
void Session::linger() {
  phase_ = Phase::kLinger;
  core_->sessions.mark(*this, Sessions::Standing::kIdle);  // it may give way
  transport_->finish_writing(input_unread_, shared_from_this());
  if (end_of_input_) return shut(false);
  release(in_);
  clear_due(kWriteBy);
  set_due(kReadBy, kLingerSeconds);
  arm_read();
}

// Closes with a reset: the peer has gone, or hit a limit.
void Session::drop(std::string_view why) {
  if (phase_ == Phase::kClosed) return;
  quietly("the log", [&] { base::log_debug("server", peer_.name, ": ", absl::string_view(why.data(), why.size())); });
  shut(true);
}

void Session::shut(bool reset) noexcept {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  quietly("a timer", [this] { timer_.cancel(); });
  transport_->close(reset);
  release(in_);
  release(writing_);
  body_memory_.reset();
  if (const auto exchange = exchange_) {
    quietly("the record of a request", [this] { record_exchange(); });
    exchange_.reset();
    exchange->set_gone();
  }
  in_flight_.reset();
  core_->sessions.remove(*this);
}

}  // namespace polymath::server
