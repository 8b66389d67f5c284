#include "server/listener.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "server/quietly.h"
#include "server/session.h"
#include "server/transport.h"

namespace polymath::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Unix = asio::local::stream_protocol;
using Error = boost::system::error_code;

// TCP keep-alive probes of a silent peer: after 60 s, every 10 s, three times.
constexpr int kKeepAliveIdleSeconds = 60, kKeepAliveIntervalSeconds = 10, kKeepAliveProbes = 3;

void set_int(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof(value)); }

// Accepted sockets inherit these from the listening one: so they cost nothing for each connection.
void tune(tcp::acceptor& acceptor) {
  const int fd = acceptor.native_handle();
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // a stream's events are sent at once
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}
void tune(Unix::acceptor&) {}

std::string name_of(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  return absl::StrCat(address.is_v6() ? "[" : "", address.to_string(), address.is_v6() ? "]:" : ":", endpoint.port());
}
// An IPv4 address within IPv6 is that address.
asio::ip::address plain(const asio::ip::address& address) {
  const bool mapped = address.is_v6() && address.to_v6().is_v4_mapped();
  return mapped ? asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()) : address;
}

bool is_loopback(const asio::ip::address& address) { return plain(address).is_loopback(); }

// As limits count it: one client of IPv6 has a /64 of addresses at least.
std::string limited_address(const asio::ip::address& any) {
  const auto address = plain(any);
  if (address.is_v4()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + bytes.size() / 2, bytes.end(), 0);
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
}

std::string name_of(const Unix::endpoint& endpoint) { return "unix:" + endpoint.path(); }

Peer peer_of(const tcp::socket& socket) {
  Error error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return {"?", "?", false};
  const auto address = endpoint.address();
  return {name_of(endpoint), limited_address(address), is_loopback(address)};
}
Peer peer_of(const Unix::socket&) { return {"unix", "unix", true}; }

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

// A promise that one more connection is accepted. If an exception breaks it, the listener is marked as stalled.
class NextAccept {
 public:
  explicit NextAccept(std::atomic<bool>& stalled) : stalled_(&stalled) {}
  NextAccept(NextAccept&& other) noexcept : stalled_(std::exchange(other.stalled_, nullptr)) {}
  NextAccept& operator=(NextAccept&&) = delete;
  ~NextAccept() {
    if (stalled_ != nullptr) *stalled_ = true;
  }
  void settle() { stalled_ = nullptr; }

 private:
  std::atomic<bool>* stalled_;
};

}  // namespace

struct Listener::State : std::enable_shared_from_this<Listener::State> {
  State(std::shared_ptr<Core> c, Door d)
      : core(std::move(c)), door(std::move(d)), io(door.probes_only ? core->io.back() : core->io.front()), pause(io) {}

  const std::shared_ptr<Core> core;
  const Door door;
  asio::io_context& io;  // on its thread alone is the rest used
  asio::steady_timer pause;
  std::shared_ptr<asio::ssl::context> tls;
  std::optional<tcp::acceptor> tcp_acceptor;
  std::optional<Unix::acceptor> unix_acceptor;
  uint16_t port = 0;
  std::string address;
  int spare_file = -1;  // closed to accept a connection where no descriptor is free
  std::atomic<bool> stalled{false};

  ~State() {
    if (spare_file >= 0) ::close(spare_file);
  }

  template <typename Acceptor, typename Endpoint>
  absl::Status open(std::optional<Acceptor>& acceptor, const Endpoint& endpoint);
  template <typename Acceptor>
  void accept_next(Acceptor& acceptor);
  template <typename Acceptor>
  void on_failed_accept(Acceptor& acceptor, const Error& error);
  bool refuse_with_spare_file(int listening);
  template <typename AcceptedSocket>
  void take(AcceptedSocket socket);
  template <typename TypedSocket>
  void admit(TypedSocket socket, Peer peer, Sessions::Class kind);
  void refuse(int fd) const;
  void resume();
};

template <typename Acceptor, typename Endpoint>
absl::Status Listener::State::open(std::optional<Acceptor>& acceptor, const Endpoint& endpoint) {
  Error error;
  acceptor.emplace(io);
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error && endpoint.protocol().family() == AF_INET6) {
    acceptor->set_option(asio::ip::v6_only(false), error);  // "::" serves both families
  }
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(name_of(endpoint), error);
  tune(*acceptor);
  address = name_of(acceptor->local_endpoint(error));
  spare_file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  asio::post(io, [self = shared_from_this(), next = NextAccept(stalled), &acceptor]() mutable {
    self->accept_next(*acceptor);
    next.settle();
  });
  return absl::OkStatus();
}

template <typename Acceptor>
void Listener::State::accept_next(Acceptor& acceptor) {
  if (!acceptor.is_open()) return;
  acceptor.async_accept(
      door.probes_only ? io.get_executor() : core->next_io().get_executor(),
      [self = shared_from_this(), next = NextAccept(stalled), &acceptor](const Error& error, auto socket) mutable {
        if (!acceptor.is_open()) return next.settle();
        if (error) {
          self->on_failed_accept(acceptor, error);
        } else {
          quietly("a new connection", [&] { self->take(std::move(socket)); });
          self->accept_next(acceptor);
        }
        next.settle();
      });
}

// Most likely no descriptor is free. A waiting connection gives one up; else the new one is refused.
template <typename Acceptor>
void Listener::State::on_failed_accept(Acceptor& acceptor, const Error& error) {
  core->limits_hit.warn("a connection could not be accepted: " + error.message());
  const bool out_of_files = error == asio::error::no_descriptors || error.value() == ENFILE;
  const bool made_room = out_of_files && core->sessions.make_room(Sessions::Class::kRegular);
  const bool refused = out_of_files && !made_room && refuse_with_spare_file(acceptor.native_handle());
  pause.expires_after(std::chrono::milliseconds(refused ? 0 : made_room ? 1 : 100));
  pause.async_wait([self = shared_from_this(), next = NextAccept(stalled), &acceptor](const Error&) mutable {
    self->accept_next(acceptor);
    next.settle();
  });
}

// Accepts with the descriptor that is kept for this, and answers 503. False: that failed too.
bool Listener::State::refuse_with_spare_file(int listening) {
  if (spare_file >= 0) ::close(spare_file);
  const int fd = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    refuse(fd);
    ::close(fd);
  }
  spare_file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  return fd >= 0;
}

// Under TLS there is no answer.
void Listener::State::refuse(int fd) const {
  if (tls == nullptr) core->refuse(fd);
}

template <typename AcceptedSocket>
void Listener::State::take(AcceptedSocket socket) {
  typename AcceptedSocket::protocol_type::socket typed(std::move(socket));
  Peer peer = peer_of(typed);
  Sessions& sessions = core->sessions;
  if (door.probes_only) {
    constexpr auto kKind = Sessions::Class::kProbePort;
    if (!sessions.has_room(kKind) && !sessions.make_room(kKind)) return refuse(typed.native_handle());
    return admit(std::move(typed), std::move(peer), kKind);
  }
  if (!sessions.has_room_for(peer.address)) {
    core->limits_hit.warn("connections_per_address_max reached: answering 503");
    return refuse(typed.native_handle());
  }
  for (const auto kind : {Sessions::Class::kRegular, Sessions::Class::kSpare}) {
    if (!sessions.has_room(kind) && !sessions.make_room(kind)) continue;
    return admit(std::move(typed), std::move(peer), kind);
  }
  core->limits_hit.warn("connections_max reached: answering 503");
  refuse(typed.native_handle());
}

template <typename TypedSocket>
void Listener::State::admit(TypedSocket socket, Peer peer, Sessions::Class kind) {
  const std::string address = peer.address;
  auto transport = tls ? make_tls_transport(Socket(std::move(socket)), *tls) : make_plain_transport(std::move(socket));
  const auto session = std::make_shared<Session>(core, std::move(transport), std::move(peer), kind);
  if (!core->sessions.add(session, kind, address)) return;
  if (!quietly("a new connection", [&] { session->start(); })) core->sessions.remove(*session);
}

void Listener::State::resume() {
  asio::post(io, [self = shared_from_this()] {
    if (!self->stalled.exchange(false)) return;
    NextAccept next(self->stalled);
    if (self->tcp_acceptor) self->accept_next(*self->tcp_acceptor);
    if (self->unix_acceptor) self->accept_next(*self->unix_acceptor);
    next.settle();
  });
}

Listener::Listener(std::shared_ptr<Core> core, Door door)
    : state_(std::make_shared<State>(std::move(core), std::move(door))) {}
Listener::~Listener() = default;

absl::Status Listener::listen(std::shared_ptr<asio::ssl::context> tls) {
  const Door& door = state_->door;
  state_->tls = std::move(tls);
  if (!door.unix_socket.empty()) {
    RETURN_IF_ERROR(clear_unix_path(door.unix_socket));
    return state_->open(state_->unix_acceptor, Unix::endpoint(door.unix_socket));
  }
  ASSIGN_OR_RETURN(const tcp::endpoint endpoint, resolve(door.host, door.port));
  RETURN_IF_ERROR(state_->open(state_->tcp_acceptor, endpoint));
  Error error;
  state_->port = state_->tcp_acceptor->local_endpoint(error).port();
  return absl::OkStatus();
}

void Listener::set_tls(std::shared_ptr<asio::ssl::context> tls) {
  asio::post(state_->io, [state = state_, tls = std::move(tls)] { state->tls = tls; });
}

uint16_t Listener::port() const { return state_->port; }
std::string Listener::address() const { return state_->address; }
bool Listener::stalled() const { return state_->stalled; }
void Listener::resume() { state_->resume(); }

void Listener::close() {
  asio::post(state_->io, [state = state_] {
    Error ignored;  // the acceptor is closed even after an error
    state->pause.cancel();
    if (state->tcp_acceptor) state->tcp_acceptor->close(ignored);
    if (state->unix_acceptor && state->unix_acceptor->is_open()) {
      state->unix_acceptor->close(ignored);
      unlink(state->door.unix_socket.c_str());
    }
  });
}

}  // namespace polymath::server
