#pragma once

// Many HTTP/1.1 requests at once from one thread: an epoll loop over non-blocking sockets that are kept alive.
//
//   ASSIGN_OR_RETURN(auto client, HttpClient::make(target, limits));
//   if (!client->full()) client->send(bytes, handler);
//   RETURN_IF_ERROR(client->poll(0.1));    // handlers are called from here
//
// Thread safety: none. A connection carries one request at a time.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "commands/http/response.h"
#include "commands/http/target.h"

namespace polymath::commands::http {

struct ClientLimits {
  int connections_max = 1;  // at once; send() is refused beyond it
  double timeout_s = 600;   // of a request, from its start; later: kDeadlineExceeded
  ResponseLimits response;
};

// `now` is base::steady_seconds() when the bytes arrived.
class ResponseHandler {
 public:
  virtual ~ResponseHandler() = default;
  // A piece of the body. An error ends the exchange with it.
  virtual absl::Status on_body(const ResponseHead& head, std::string_view piece, double now) = 0;
  // Once, at the end of all: kOk, or why there is no whole response. It may call send().
  virtual void on_end(const absl::Status& status, const ResponseHead& head, double now) = 0;
};

class HttpClient {
 public:
  // kUnavailable: the host has no address.
  static absl::StatusOr<std::unique_ptr<HttpClient>> make(const Target& target, const ClientLimits& limits);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool full() const { return in_flight_ == limits_.connections_max; }
  int in_flight() const { return in_flight_; }
  // `handler` lives until its on_end. REQUIRES: !full().
  void send(std::string request, ResponseHandler& handler);
  // Waits for at most `seconds` and handles what arrived.
  absl::Status poll(double seconds);

 private:
  struct Connection;

  HttpClient(const ClientLimits& limits, std::vector<Address> addresses, int epoll);

  Connection& free_connection();
  void open(Connection& connection);
  void watch(Connection& connection, bool first);
  void on_ready(Connection& connection, uint32_t events);
  absl::Status write(Connection& connection);
  void read(Connection& connection);
  absl::Status take(Connection& connection, std::string_view bytes, double now);
  void fail(Connection& connection, const absl::Status& status);
  bool try_again(Connection& connection);
  void finish(Connection& connection, const absl::Status& status, double now);
  void close_socket(Connection& connection);
  void end_late();

  const ClientLimits limits_;
  const std::vector<Address> addresses_;
  const int epoll_;
  size_t address_ = 0;  // the one that answered last
  int in_flight_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> idle_;    // open and unused; the last is used first
  std::vector<Connection*> closed_;  // without a socket
  std::vector<Connection*> failed_;  // could not be opened; poll() ends their requests
  std::deque<std::pair<double, std::pair<Connection*, uint64_t>>> deadlines_;  // in order: all have one time-out
  std::string read_buffer_, body_;
};

}  // namespace polymath::commands::http
