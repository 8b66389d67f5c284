#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "server/response_head.h"
#include "server/session.h"

namespace polymath::server {
namespace {

constexpr double kProbeIntervalMax = 128;  // seconds; the interval doubles up to it
// A peer that takes fewer bytes in so many seconds, while more wait, reads slowly.
constexpr double kUnreadSeconds = 3;
constexpr size_t kReadProgressBytes = 4u << 10;

bool is_preflight(const HttpRequest& request) {
  return request.method == "OPTIONS" && !request.header("access-control-request-method").empty() &&
         !request.header("origin").empty();
}

WorkLanes::Lane lane_of(RouteKind kind, bool large) {
  if (kind == RouteKind::kProbe) return WorkLanes::kProbe;
  if (kind == RouteKind::kMetrics) return WorkLanes::kMetrics;
  return large ? WorkLanes::kLarge : WorkLanes::kWork;
}

// On a worker thread. An exception of the handler ends here: the dropped reply becomes a 500.
void run_job(const Core& core, const std::shared_ptr<Exchange>& exchange, const HttpHandler& handler,
             const HttpRequest& request) {
  if (exchange->gone()) return;
  std::shared_ptr<HttpReply> reply;
  const bool made = quietly("a reply", [&] { reply = make_reply(exchange, core.error_body, request.path); });
  if (!made) return exchange->abandon(core.error_body, request.path);
  quietly("a handler", [&] { handler(request, reply); });
}

}  // namespace

void Session::dispatch() {
  if (body_marked_) core_->sessions.mark(*this, Sessions::Standing::kBusy);
  body_marked_ = false;
  request_ = std::move(parser_->request());
  open_exchange();
  if (refusal_ != nullptr) return answer_refusal();
  if (request_.method == "OPTIONS" && answer_options()) return;
  if (match_.handler == nullptr) return answer_miss();
  // Take the token before reading `draining`: a drain then waits for this request, or this request sees the drain.
  in_flight_ = match_.is_probe() ? core_->probes_in_flight.try_enter(std::numeric_limits<int>::max())
                                 : core_->in_flight.try_enter(core_->options.limits.requests_in_flight_max);
  if (core_->draining) {
    in_flight_.reset();
    exchange_->close_connection();
    return answer(503, "the server is shutting down", {{"Retry-After", "1"}});
  }
  if (in_flight_ == nullptr) {
    core_->limits_hit.warn("requests_in_flight_max reached: answering 503");
    return answer(503, "the server is overloaded", {{"Retry-After", "1"}});
  }
  if (!enter()) return answer_refusal();
  run_handler();
}

void Session::open_exchange() {
  phase_ = Phase::kReply;
  clear_due(kReadBy);
  method_ = request_.method;
  path_ = request_.path;
  principal_ = request_.principal;
  dispatched_at_ = Clock::now();
  response_ended_ = head_taken_ = false;
  probed_bytes_ = response_bytes_ = 0;
  request_bytes_ = request_.body.size();
  const bool parsed = parser_->has_head();
  ReplyTraits traits{.http11 = !parsed || parser_->http11(),
                     .head_only = method_ == "HEAD",
                     .close = !parsed || !parser_->keep_alive() || kind_ == Sessions::Class::kSpare,
                     .closing = &core_->closing,
                     .stream_buffer_bytes_max = core_->options.limits.stream_buffer_bytes_max,
                     .server_headers = core_->cors_headers(request_)};
  exchange_ = std::make_shared<Exchange>(weak_from_this(), std::move(traits));
  if (end_of_input_) {
    probe_interval_s_ = 1;
    set_due(kProbeAt, probe_interval_s_);
  }
}

// REQUIRES: a known path.
void Session::answer_preflight() {
  const std::string_view method = request_.header("access-control-request-method");
  const auto wanted = core_->router.find(method, request_.path);
  if (wanted.handler == nullptr) {
    return answer(405, core_->router.miss(wanted, method, request_.path), {{"Allow", wanted.allow}});
  }
  HttpHeaders extra = {{"Access-Control-Allow-Methods", std::string(method)}, {"Access-Control-Max-Age", "600"}};
  const std::string_view headers = request_.header("access-control-request-headers");
  if (!headers.empty()) extra.emplace_back("Access-Control-Allow-Headers", std::string(headers));
  exchange_->send(204, "", "", extra);
}

// A CORS preflight, or a plain OPTIONS. False: the route has its own handler, or is unknown.
bool Session::answer_options() {
  if (is_preflight(request_) && !core_->options.cors_origins.empty() && !match_.path.empty()) {
    answer_preflight();
    return true;
  }
  if (match_.handler != nullptr) return false;
  if (match_.path.empty() && request_.path != "*") return false;
  HttpHeaders extra;
  if (!match_.allow.empty()) extra.emplace_back("Allow", match_.allow);
  exchange_->send(204, "", "", extra);
  return true;
}

// False: refused, although the gate let the head pass.
bool Session::enter() {
  if (!core_->entry) return true;
  HttpServer::Admission admission = core_->entry(request_);
  if (admission.ticket != nullptr) request_.ticket = std::move(admission.ticket);
  refusal_ = std::move(admission.refusal);
  return refusal_ == nullptr;
}

void Session::run_handler() {
  const WorkLanes::Lane lane = lane_of(match_.kind, request_.body.size() > core_->options.limits.small_body_bytes_max);
  request_.memory = std::move(body_memory_);
  // Each principal has its turn. Without one, an address is the client.
  const bool in_turns = lane == WorkLanes::kLarge || lane == WorkLanes::kMetrics;
  const std::string client = !in_turns ? "" : request_.principal.empty() ? request_.address : request_.principal;
  // The job owns all that it uses: the connection may close while the handler runs.
  core_->lanes->post(lane, client,
                     [core = core_, exchange = exchange_, token = in_flight_, &handler = *match_.handler,
                      request = std::move(request_)]() { run_job(*core, exchange, handler, request); });
  request_ = {};
}

// No route takes the method on the path.
void Session::answer_miss() {
  const std::string message = core_->router.miss(match_, method_, path_);
  if (match_.path.empty()) return answer(404, message);
  answer(405, message, {{"Allow", match_.allow}});
}

void Session::answer(int status, std::string_view message, HttpHeaders extra) {
  exchange_->send(status, "application/json", core_->error_body({status, message, path_}), extra);
}

void Session::answer_refusal() {
  exchange_->send(refusal_->status, "application/json", std::move(refusal_->body), refusal_->headers);
  refusal_.reset();
}

// For an answer before the request is complete. The connection ends with it.
void Session::open_last_exchange() {
  request_ = {};
  if (parser_->has_head()) {
    request_ = std::move(parser_->request());
  } else {
    request_.path = parser_->path();
  }
  release(request_.body);
  body_memory_.reset();
  open_exchange();
  exchange_->close_connection();
}

void Session::answer_and_close(int status, std::string_view message, HttpHeaders extra) {
  open_last_exchange();
  answer(status, message, std::move(extra));
}

// Without memory to post, the connection is shut down: its pending read ends, and closes it.
void Session::wake() noexcept {
  const bool posted = quietly("a wake", [this] {
    boost::asio::post(transport_->socket().get_executor(),
                      [self = shared_from_this()] { self->guarded([&] { self->pump(); }); });
  });
  if (!posted) transport_->shut_down();
}

// The beginning of the response was sent already, by probes.
void Session::leave_out_probed() {
  CHECK(std::string_view(writing_).starts_with(kResponseStart));
  writing_.erase(0, probed_bytes_);
  exchange_->written(probed_bytes_);
}

bool Session::cut_if_troubled() {
  const auto trouble = exchange_->trouble();
  if (trouble == Exchange::Trouble::kNone) return false;
  if (trouble == Exchange::Trouble::kOverrun) {
    core_->limits_hit.warn("stream_buffer_bytes_max reached: a peer reads too slowly; closed");
  }
  drop("stream cut");
  return true;
}

// Starts the next write, unless one runs or nothing is pending.
void Session::pump() {
  if (phase_ == Phase::kClosed || phase_ == Phase::kLinger) return;
  if (exchange_ != nullptr && cut_if_troubled()) return;
  if (write_active_) return;
  if (writing_.empty()) {
    written_ = 0;
    writing_interim_ = !interim_.empty();
    if (writing_interim_) {
      writing_.swap(interim_);
    } else if (exchange_ != nullptr) {
      response_ended_ = exchange_->take(writing_);
      if (!head_taken_ && !writing_.empty()) leave_out_probed();
      head_taken_ |= !writing_.empty();
    }
    if (writing_.empty()) {
      note_read();
      if (response_ended_ && exchange_ != nullptr) finish_exchange();
      return;
    }
  }
  write_active_ = true;
  if (due_[kUnreadAt] == Clock::time_point::max() && !unread_) set_due(kUnreadAt, kUnreadSeconds);
  set_due(kWriteBy, core_->options.limits.write_timeout_s);
  transport_->write_some(boost::asio::buffer(writing_.data() + written_, writing_.size() - written_),
                         [self = shared_from_this()](const Transport::Error& error, size_t bytes) {
                           self->guarded([&] { self->on_written(error, bytes); });
                         });
}

void Session::on_written(const Transport::Error& error, size_t bytes) {
  write_active_ = false;
  if (phase_ == Phase::kClosed) return;
  clear_due(kWriteBy);
  if (error) return drop("connection lost in a write");
  written_ += bytes;
  note_written(bytes);
  response_bytes_ += bytes;
  if (!writing_interim_ && exchange_ != nullptr) exchange_->written(bytes);
  if (written_ == writing_.size()) writing_.clear();
  pump();
}

// The peer goes on reading: it has so long again.
void Session::note_written(size_t bytes) {
  progress_bytes_ += bytes;
  if (progress_bytes_ < kReadProgressBytes) return;
  note_read();
}

// Bytes wait, and the peer has hardly taken any. Where connections are short, this one gives way.
void Session::note_unread() {
  unread_ = true;
  progress_bytes_ = 0;
  core_->sessions.mark(*this, Sessions::Standing::kUnread);
}

void Session::note_read() {
  progress_bytes_ = 0;
  clear_due(kUnreadAt);
  if (std::exchange(unread_, false)) core_->sessions.mark(*this, Sessions::Standing::kBusy);
}

void Session::record_exchange() {
  const int status = exchange_->status();
  const double seconds = std::chrono::duration<double>(Clock::now() - dispatched_at_).count();
  if (core_->metrics) {
    core_->metrics->record({match_.number, match_.path, method_, status, seconds, request_bytes_, response_bytes_});
  }
  base::log_debug("server", peer_.name, " ", principal_, " ", method_, " ", path_, " ", status, " ", seconds, " s");
}

void Session::finish_exchange() {
  record_exchange();
  const bool closes = exchange_->closes();
  exchange_.reset();
  in_flight_.reset();
  clear_due(kProbeAt);
  interim_.clear();
  if (closes) return linger();
  match_ = {};
  parser_ = std::make_unique<RequestParser>(core_->options.limits);
  phase_ = Phase::kIdle;
  idle_ = true;
  core_->sessions.mark(*this, Sessions::Standing::kIdle);
  set_due(kReadBy, core_->options.limits.idle_timeout_s);
  advance();
  arm_read();
}

// The peer ended its sending side while a handler runs: it half-closed the connection, or its process died. Only a
// write shows which: the kernel of a dead process answers with a reset. Every response begins alike, whatever its
// status, so a probe sends the next byte of that beginning. A living peer waits for the rest. A stream of events gets
// an empty comment.
void Session::probe() {
  if (phase_ != Phase::kReply) return;
  if (transport_->broken()) return drop("connection reset");
  if (exchange_->begun()) {
    if (!exchange_->nudge()) return;
  } else if (probed_bytes_ < kResponseStart.size() && interim_.empty()) {
    interim_ += kResponseStart[probed_bytes_++];
    pump();
  }
  set_due(kProbeAt, probe_interval_s_);
  probe_interval_s_ = std::min(probe_interval_s_ * 2, kProbeIntervalMax);
}

}  // namespace polymath::server
