#pragma once

// One connection: reads a request, hands it to a worker, writes the reply, and again.
//
// Everything but the public functions runs on the connection's I/O thread. Requests run one at a time: a pipelined one
// waits, unparsed, in a bounded read-ahead buffer. A read is pending while a handler runs, so that a leaving peer is
// noticed. docs/internals/server.md distinguishes "gone" from "finished sending".

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "server/core.h"
#include "server/exchange.h"
#include "server/quietly.h"
#include "server/request_parser.h"
#include "server/transport.h"

namespace polymath::server {

// Who is at the other end.
struct Peer {
  std::string name;     // as HttpRequest::peer
  std::string address;  // the same
  bool local = false;   // the same
};

class Session final : public ReplySink, public std::enable_shared_from_this<Session> {
 public:
  // A connection that is not regular answers probes alone.
  Session(std::shared_ptr<Core> core, std::unique_ptr<Transport> transport, Peer peer, Sessions::Class kind);

  // Any thread.
  void start();     // serve until it closes
  void close();     // now
  void give_way();  // now, unless a request has arrived in full
  void wake() noexcept override;

  Sessions::Seat& seat() { return seat_; }  // for Sessions

 private:
  enum class Phase { kHandshake, kIdle, kHead, kBody, kReply, kLinger, kClosed };
  enum Due { kReadBy, kWriteBy, kUnreadAt, kProbeAt, kDueCount };  // one timer serves them all
  using Clock = std::chrono::steady_clock;

  // Every callback runs in here. An exception ends this connection: with 503 if nothing is answered yet.
  template <typename Work>
  void guarded(Work&& work) noexcept {
    if (!quietly("a connection", std::forward<Work>(work))) end_after_exception();
  }
  void end_after_exception() noexcept;

  // session.cpp: the life of the connection, and reading.
  void begin();
  void arm_read();
  void on_read(const Transport::Error& error, size_t bytes);
  void on_end_of_input();
  void advance();
  void on_head();
  bool refuse_without_room();
  bool refuse_without_handler();
  size_t kept_for_small(size_t body_bytes) const;
  bool body_fits();
  bool charge_body();
  void mark_body();
  double body_seconds_max() const;
  bool pass_gate();
  bool reads_refused_body() const;
  void watch_for_errors();
  void linger();
  void drop(std::string_view why);
  void shut(bool reset) noexcept;

  // session_reply.cpp: dispatch and writing.
  void dispatch();
  void open_exchange();
  void answer_preflight();
  bool answer_options();
  bool enter();
  void run_handler();
  void answer_miss();
  void answer(int status, std::string_view message, HttpHeaders extra = {});
  void answer_refusal();
  void answer_and_close(int status, std::string_view message, HttpHeaders extra = {});
  void open_last_exchange();
  void pump();
  void leave_out_probed();
  bool cut_if_troubled();
  void note_written(size_t bytes);
  void note_unread();
  void note_read();
  void on_written(const Transport::Error& error, size_t bytes);
  void finish_exchange();
  void record_exchange();
  void probe();

  // session_timer.cpp
  void set_due(Due which, double seconds);
  void clear_due(Due which) { due_[which] = Clock::time_point::max(); }
  void arm_timer();
  void on_timer();
  void on_read_due();

  const std::shared_ptr<Core> core_;
  const std::unique_ptr<Transport> transport_;
  const Peer peer_;
  const Sessions::Class kind_;
  Sessions::Seat seat_;
  Phase phase_ = Phase::kHandshake;

  std::array<char, 16 << 10> buffer_;
  std::string in_;  // read, not yet parsed
  bool reading_ = false;
  bool idle_ = false;  // as Sessions knows it
  bool end_of_input_ = false;
  std::unique_ptr<RequestParser> parser_;

  Router::Match match_;                           // of the request, from its head on
  HttpRequest request_;                           // until it is handed to a worker
  std::shared_ptr<base::ByteGrant> body_memory_;  // of the body that is read; null: none yet
  Clock::time_point body_since_;                  // when its head was complete
  size_t body_marked_bytes_ = 0;                  // of the body, when Sessions last heard of it
  bool body_marked_ = false;                      // Sessions knows that a body is awaited
  std::unique_ptr<HttpServer::Refusal> refusal_;  // the gate's
  std::string method_, path_, principal_;
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<void> in_flight_;
  Clock::time_point dispatched_at_;
  bool input_unread_ = false;  // the request was refused before its end

  std::string interim_;  // 100 Continue, or probed bytes of kResponseStart; before the exchange's
  std::string writing_;
  size_t written_ = 0;                             // of writing_
  size_t request_bytes_ = 0, response_bytes_ = 0;  // of the exchange: the body's, and those written
  bool writing_interim_ = false;
  bool write_active_ = false;
  bool unread_ = false;        // Sessions knows that the peer reads slowly
  size_t progress_bytes_ = 0;  // written since kUnreadAt was set
  bool response_ended_ = false;
  bool head_taken_ = false;
  double probe_interval_s_ = 0;
  size_t probed_bytes_ = 0;  // of kResponseStart

  boost::asio::steady_timer timer_;
  Clock::time_point timer_at_ = Clock::time_point::max();  // when the armed timer fires
  std::array<Clock::time_point, kDueCount> due_;
};

}  // namespace polymath::server
