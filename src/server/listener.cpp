#include "server/listener.h"

#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "server/session.h"
#include "server/transport.h"

namespace polymath::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Unix = asio::local::stream_protocol;
using Error = boost::system::error_code;

// So many connections beyond connections_max are answered 503. Further ones are closed unanswered.
constexpr size_t kRefusalsMax = 64;
// TCP keep-alive probes of a silent peer: after 60 s, every 10 s, three times.
constexpr int kKeepAliveIdleSeconds = 60, kKeepAliveIntervalSeconds = 10, kKeepAliveProbes = 3;

void set_int(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof(value)); }

void tune(tcp::socket& socket) {
  const int fd = socket.native_handle();
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // a stream's events are sent at once
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}
void tune(Unix::socket&) {}

std::string name_of(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  return absl::StrCat(address.is_v6() ? "[" : "", address.to_string(), address.is_v6() ? "]:" : ":", endpoint.port());
}
std::string name_of(const Unix::endpoint& endpoint) { return "unix:" + endpoint.path(); }

std::string peer_of(const tcp::socket& socket) {
  Error error;
  const auto endpoint = socket.remote_endpoint(error);
  return error ? "?" : name_of(endpoint);
}
std::string peer_of(const Unix::socket&) { return "unix"; }

absl::Status cannot_listen(const std::string& where, const Error& error) {
  const std::string sentence = absl::StrCat("cannot listen on ", where, ": ", error.message());
  if (error == asio::error::address_in_use) return absl::UnavailableError(sentence);
  return absl::InvalidArgumentError(sentence);
}

absl::StatusOr<tcp::endpoint> resolve(const std::string& host, uint16_t port) {
  Error error;
  const auto literal = asio::ip::make_address(host, error);
  if (!error) return tcp::endpoint(literal, port);
  asio::io_context io;
  const auto found = tcp::resolver(io).resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) return absl::InvalidArgumentError(absl::StrCat("no such address: ", host));
  return found.begin()->endpoint();
}

// Removes a socket file without a listener: a dead process left it.
absl::Status clear_unix_path(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("unix socket path is too long: ", path));
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " exists and is no socket"));
  asio::io_context io;
  Unix::socket probe(io);
  Error error;
  probe.connect(Unix::endpoint(path), error);
  if (error != asio::error::connection_refused) {
    return absl::UnavailableError(absl::StrCat("cannot listen on unix:", path, ": in use by another process"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

struct Listener::State : std::enable_shared_from_this<Listener::State> {
  explicit State(std::shared_ptr<Core> c) : core(std::move(c)), strand(asio::make_strand(core->io)), pause(strand) {}

  const std::shared_ptr<Core> core;
  asio::strand<asio::io_context::executor_type> strand;
  asio::steady_timer pause;
  std::shared_ptr<asio::ssl::context> tls;
  std::optional<tcp::acceptor> tcp_acceptor;
  std::optional<Unix::acceptor> unix_acceptor;
  uint16_t port = 0;
  std::string address;

  template <typename Acceptor, typename Endpoint>
  absl::Status open(std::optional<Acceptor>& acceptor, const Endpoint& endpoint);
  template <typename Acceptor>
  void accept_next(Acceptor& acceptor);
  template <typename AcceptedSocket>
  void take(AcceptedSocket socket);
};

template <typename Acceptor, typename Endpoint>
absl::Status Listener::State::open(std::optional<Acceptor>& acceptor, const Endpoint& endpoint) {
  Error error;
  acceptor.emplace(strand);
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error && endpoint.protocol().family() == AF_INET6) {
    acceptor->set_option(asio::ip::v6_only(false), error);  // "::" serves both families
  }
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(name_of(endpoint), error);
  address = name_of(acceptor->local_endpoint(error));
  asio::post(strand, [self = shared_from_this(), &acceptor] { self->accept_next(*acceptor); });
  return absl::OkStatus();
}

template <typename Acceptor>
void Listener::State::accept_next(Acceptor& acceptor) {
  if (!acceptor.is_open()) return;
  acceptor.async_accept(asio::make_strand(core->io),
                        [self = shared_from_this(), &acceptor](const Error& error, auto socket) {
                          if (!acceptor.is_open()) return;
                          if (!error) {
                            self->take(std::move(socket));
                            return self->accept_next(acceptor);
                          }
                          // Most likely no file descriptor is free. Connections that close free some.
                          self->core->limits_hit.warn("a connection could not be accepted: " + error.message());
                          self->pause.expires_after(std::chrono::milliseconds(100));
                          self->pause.async_wait([self, &acceptor](const Error&) { self->accept_next(acceptor); });
                        });
}

template <typename AcceptedSocket>
void Listener::State::take(AcceptedSocket socket) {
  typename AcceptedSocket::protocol_type::socket typed(std::move(socket));
  tune(typed);
  std::string peer = peer_of(typed);
  const size_t open = core->sessions.size();
  const auto limit = static_cast<size_t>(core->options.limits.connections_max);
  const bool full = open >= limit;
  if (full) core->limits_hit.warn("connections_max reached: answering 503");
  if (full && (tls || open >= limit + kRefusalsMax)) return;  // the destructor closes it, without a TLS handshake
  auto transport = tls ? make_tls_transport(Socket(std::move(typed)), *tls) : make_plain_transport(std::move(typed));
  const auto session = std::make_shared<Session>(core, std::move(transport), std::move(peer));
  if (!core->sessions.add(session)) return;
  full ? session->refuse() : session->start();
}

Listener::Listener(std::shared_ptr<Core> core) : state_(std::make_shared<State>(std::move(core))) {}
Listener::~Listener() = default;

absl::Status Listener::listen() {
  const HttpServerOptions& options = state_->core->options;
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate file and a key file");
  }
  if (!options.tls_key_file.empty()) {
    ASSIGN_OR_RETURN(state_->tls, make_tls_context(options.tls_certificate_file, options.tls_key_file));
  }
  if (!options.unix_socket.empty()) {
    RETURN_IF_ERROR(clear_unix_path(options.unix_socket));
    return state_->open(state_->unix_acceptor, Unix::endpoint(options.unix_socket));
  }
  ASSIGN_OR_RETURN(const tcp::endpoint endpoint, resolve(options.host, options.port));
  RETURN_IF_ERROR(state_->open(state_->tcp_acceptor, endpoint));
  Error error;
  state_->port = state_->tcp_acceptor->local_endpoint(error).port();
  return absl::OkStatus();
}

uint16_t Listener::port() const { return state_->port; }
std::string Listener::address() const { return state_->address; }

void Listener::close() {
  asio::post(state_->strand, [state = state_] {
    Error ignored;  // the acceptor is closed even after an error
    state->pause.cancel();
    if (state->tcp_acceptor) state->tcp_acceptor->close(ignored);
    if (state->unix_acceptor && state->unix_acceptor->is_open()) {
      state->unix_acceptor->close(ignored);
      unlink(state->core->options.unix_socket.c_str());
    }
  });
}

}  // namespace polymath::server
