#pragma once

// State that all connections of one server share. It outlives the last connection and reply.
//
// Thread safety: the configuration is constant after start(); the rest has its own locks.

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "base/byte_budget.h"
#include "server/exchange.h"
#include "server/http_server.h"
#include "server/request_metrics.h"
#include "server/router.h"
#include "server/sessions.h"
#include "server/work_lanes.h"

namespace polymath::server {

// Requests between their dispatch and their reply's last byte. A drain waits for them.
class InFlight {
 public:
  // A token; its request counts while a copy of it lives. Null: `max` requests are counted already.
  // REQUIRES: this outlives the tokens.
  std::shared_ptr<void> try_enter(int max);
  bool full(int max) const;
  // False: some requests were still counted after `seconds`.
  bool wait_until_empty(double seconds);

 private:
  mutable std::mutex mutex_;
  std::condition_variable empty_;
  int count_ = 0;
};

// A warning that clients can cause: at most one line a second, with the count of the omitted ones.
class ThrottledWarning {
 public:
  void warn(std::string_view message) noexcept;

 private:
  std::mutex mutex_;
  double next_at_ = 0;
  int left_out_ = 0;
};

struct Core {
  explicit Core(HttpServerOptions o);

  const HttpServerOptions options;
  Router router;
  ErrorBody error_body;
  std::function<HttpServer::Admission(const HttpRequest&)> gate, entry;
  std::unique_ptr<RequestMetrics> metrics;  // null: none are kept

  // One for each I/O thread, and one for the probe port. A connection stays with one of them: its callbacks never run
  // at the same time.
  std::deque<boost::asio::io_context> io;
  std::unique_ptr<WorkLanes> lanes;      // from start() on
  base::ByteBudget bodies;               // of all requests
  std::string refusal;                   // the whole response of refuse()
  InFlight in_flight, probes_in_flight;  // apart, so that probes whose answers are not read take no places
  Sessions sessions;
  ThrottledWarning limits_hit;
  std::atomic<unsigned> io_turn{0};
  std::atomic<bool> closing{false};   // responses close their connections
  std::atomic<bool> draining{false};  // and requests for handlers are refused

  // Writes a 503 to a plain connection, and ends its sending side. It waits for nothing and allocates nothing.
  void refuse(int fd) const noexcept;
  void make_refusal();  // once error_body is set

  boost::asio::io_context& next_io();  // any thread; in turns, without that of the probe port

  // Access-Control-* for an answer to this request; empty unless its Origin is allowed.
  HttpHeaders cors_headers(const HttpRequest& request) const;
};

}  // namespace polymath::server
