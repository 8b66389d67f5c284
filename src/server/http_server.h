#pragma once

// HTTP/1.1 with keep-alive, bodies, streams and TLS; every size and time has a limit. Knows no model and no API.
//
//   HttpServer server(options);
//   server.route("POST", "/v1/completions", [](const HttpRequest& request, std::shared_ptr<HttpReply> reply) {
//     reply->send(200, "application/json", "{}");             // or
//     reply->start_stream(200, "text/event-stream", {});      // and then, from any thread,
//     reply->write("data: ...\n\n");  reply->end();
//   });
//   RETURN_IF_ERROR(server.start());   // listens; returns
//   server.stop(30);                   // drain: no new requests, wait for the running ones, close
//
// Handlers run on worker threads (server/work_lanes.h), one request each, never on an I/O thread. Any thread may finish
// the reply later. Every request gets exactly one reply: a reply dropped unfinished becomes a 500.
//
// Thread safety: HttpReply's methods may be called from any thread; a call after the peer is gone does nothing.
// Limits: each field of HttpLimits says what happens at it.
// Source: RFC 9110, RFC 9112; Boost.Beast.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"

namespace polymath::server {

struct HttpLimits {
  size_t header_bytes_max = 16u << 10;        // beyond: 431
  size_t body_bytes_max = 32u << 20;          // beyond: 413, before it is read
  size_t body_bytes_total_max = 256u << 20;   // of all bodies in memory together; beyond: 503 with Retry-After
  size_t small_body_bytes_max = 64u << 10;    // larger bodies wait for a thread of their own, client by client
  size_t refused_body_bytes_max = 16u << 10;  // of a refused request, read so that the connection lives; beyond: closed
  size_t target_bytes_max = 4u << 10;         // beyond: 414
  int connections_max = 4096;                 // beyond: a waiting connection gives way, or 503 and close
  int spare_connections_max = 256;            // beyond connections_max, for probes alone; beyond: 503 at once
  int connections_per_address_max = 0;        // beyond: 503 and close; 0: no limit; of IPv6 a /64 is one address
  int requests_in_flight_max = 2048;  // handlers running or replies open, without probes; beyond: 503 with Retry-After
  int header_timeout_s = 10;          // of a header, from its first byte or the connect; beyond: 408
  int body_timeout_s = 60;            // of a body; beyond: 408
  int body_grace_s = 10;              // from the head on, a body may come as slowly as it likes
  int body_bytes_per_s_min = 512;     // of a body behind its grace; slower: 408
  int idle_timeout_s = 75;            // keep-alive without a request: closed
  int write_timeout_s = 30;           // a peer that does not read: closed, on_gone is called
  size_t stream_buffer_bytes_max = 8u << 20;  // unread output of one stream; beyond: closed, on_gone is called
};

struct HttpServerOptions {
  std::string host = "0.0.0.0";        // or an IPv6 address
  uint16_t port = 8000;                // 0: any free one; see HttpServer::port()
  std::string unix_socket;             // if not empty: listen here instead
  std::optional<uint16_t> probe_port;  // also listen here, plain, for probe routes alone; 0: any free one
  int io_threads = 1;
  int worker_threads = 2;      // for requests with small bodies
  int large_body_threads = 1;  // for the others; probes have one more, and metrics
  HttpLimits limits;
  std::string tls_certificate_file, tls_key_file;  // both or neither; TLS 1.2 and later
  bool tls_refresh = false;               // read both again when they change; a bad new pair leaves the old one in use
  double tls_check_s = 5;                 // between two looks at the files and at the certificate's expiry
  std::vector<std::string> cors_origins;  // Access-Control-Allow-Origin; "*": any; empty: no CORS headers
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

inline constexpr int kNoRoute = -1;  // the path is unknown, or has no such method

struct HttpRequest {
  std::string method;   // "GET"
  std::string path;     // decoded, without the query
  std::string query;    // after '?', undecoded
  HttpHeaders headers;  // names in lower case
  std::string body;
  std::string peer;              // address and port, for the log
  std::string address;           // who it is for limits: the address, of IPv6 its /64; "unix" for a Unix socket
  bool local = false;            // the peer is on this machine: a loopback address or a Unix socket
  int route = kNoRoute;          // the number of the route that answers it
  std::string principal;         // who the gate found the client to be; empty: unknown
  std::shared_ptr<void> ticket;  // what gate or entry reserved for this request
  std::shared_ptr<void> memory;  // the body's share of body_bytes_total_max; returned when the last copy goes

  // The first header of that (lower-case) name; empty: none.
  std::string_view header(std::string_view name) const;
};

class HttpReply {
 public:
  virtual ~HttpReply() = default;

  virtual void send(int status, std::string_view content_type, std::string body, HttpHeaders extra = {}) = 0;

  // A chunked body. For text/event-stream also sends `Cache-Control: no-cache` and `X-Accel-Buffering: no`.
  virtual void start_stream(int status, std::string_view content_type, HttpHeaders extra) = 0;
  // Of text/event-stream: whole lines, as the server may put a comment line between two writes.
  virtual void write(std::string chunk) = 0;
  virtual void end() = 0;

  // Called once, on an I/O thread, when the peer goes before the reply ends. Called at once if it has gone already.
  // Gone: closed in both directions, reset, or dropped at a limit. Ending only the sending side is not "gone".
  virtual void on_gone(std::function<void()> callback) = 0;
  // Whether it has gone. Long work asks now and then, and stops.
  virtual bool gone() const { return false; }
};

// An error that the server answers by itself: 400, 404, 405, 408, 413, 414, 415, 417, 431, 500, 501, 503.
struct ServerError {
  int status = 500;
  std::string_view message;
  std::string_view path;  // as HttpRequest::path; empty: the request line was not read
};

// A response that is written, or whose peer has gone.
struct Answered {
  int route = kNoRoute;
  std::string_view handler;  // the route's path; empty: none
  std::string_view method;
  int status = 0;  // 499: the peer went before it had one
  double seconds = 0;
  size_t request_bytes = 0;   // of the body
  size_t response_bytes = 0;  // written, with the head
};
using ErrorBody = std::function<std::string(const ServerError& error)>;

using HttpHandler = std::function<void(const HttpRequest&, std::shared_ptr<HttpReply>)>;

// Probes and metrics have spare connections and the probe port, and each a thread of their own. They must not block.
enum class RouteKind { kWork, kProbe, kMetrics };

class HttpServer {
 public:
  explicit HttpServer(HttpServerOptions options);
  ~HttpServer();

  // Exact paths, or every path with a prefix ("/v1/models/*"); an exact one wins. A known path with another method: 405
  // with Allow; an unknown path: 404. Both messages name the nearest route. Returns the route's number: they count from
  // 0 in the order of the calls.
  // REQUIRES: before start().
  int route(std::string_view method, std::string_view path, HttpHandler handler, RouteKind kind = RouteKind::kWork);

  // The JSON body of the server's own errors, in the shape of the API on that path.
  void set_error_body(ErrorBody make);

  struct Refusal {
    int status;
    std::string body;
    HttpHeaders headers;
  };
  struct Admission {
    std::unique_ptr<Refusal> refusal;  // not null: it replaces the handler's answer
    std::string principal;             // for HttpRequest
    std::shared_ptr<void> ticket;      // the same; of the gate and of the entry the later one counts
  };
  // Runs before every answer to a whole head, also before 404 and 405, for authentication and admission. The body has
  // not arrived. It runs on an I/O thread, so it must not block.
  void set_gate(std::function<Admission(const HttpRequest& head)> gate);
  // Runs when the body has arrived, too, before a worker is asked. What it reserves is not held while a client sends
  // slowly. The same rules as for the gate; its principal is not used.
  void set_entry(std::function<Admission(const HttpRequest& request)> entry);

  // server/request_metrics.h names them. `on_answered` is called after each answer, on an I/O thread; it must not
  // block.
  void set_metrics(base::MetricsRegistry& registry, std::function<void(const Answered&)> on_answered = {});

  // Binds and serves. kUnavailable names an address in use, or says that the system makes no more threads.
  // kInvalidArgument: no such address, or bad TLS files.
  absl::Status start();
  uint16_t port() const;
  uint16_t probe_port() const;  // 0: none

  // From now on every response closes its connection, so that clients turn to another server. Requests are still
  // accepted and answered by their handlers.
  void begin_drain();

  // Stops accepting; new requests on open connections get 503. Waits up to `drain_seconds` for open replies, then
  // closes everything. Safe to call twice.
  void stop(double drain_seconds);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace polymath::server
