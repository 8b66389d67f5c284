#include "parallel/nodes/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"

namespace polymath::parallel {
namespace {

constexpr int kBacklog = 64;
constexpr double kRetrySeconds = 0.2;  // between two tries to connect

absl::Status failed(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

int milliseconds_to(double deadline) {
  const double left = deadline - base::steady_seconds();
  return static_cast<int>(std::clamp(left * 1e3, 0.0, 1e8)) + (left > 0 ? 1 : 0);
}

absl::Status wait_for(int fd, short events, double deadline) {
  while (true) {
    pollfd one{fd, events, 0};
    const int n = poll(&one, 1, milliseconds_to(deadline));
    if (n > 0) return absl::OkStatus();
    if (n < 0 && errno != EINTR) return failed("poll");
    if (base::steady_seconds() >= deadline) return absl::DeadlineExceededError("the other node does not answer");
  }
}

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<Addresses> resolve(const std::string& host, int port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) return absl::UnavailableError(absl::StrCat("`", host, "` has no address: ", gai_strerror(code)));
  return Addresses(found, &freeaddrinfo);
}

// Small messages go out at once. A peer that vanished is noticed by the heartbeats above.
void prepare(const Socket& socket) {
  const int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

absl::StatusOr<Socket> try_connect(const addrinfo& address, double deadline) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return failed("socket");
  if (connect(socket.fd(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return failed("connect");
    RETURN_IF_ERROR(wait_for(socket.fd(), POLLOUT, deadline));
    socklen_t size = sizeof(errno);
    int error = 0;
    getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return errno = error, failed("connect");
  }
  prepare(socket);
  return socket;
}

std::string host_by(int (*name_of)(int, sockaddr*, socklen_t*), int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST] = "";
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (name_of(fd, any, &size) != 0) return "";
  return getnameinfo(any, size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) == 0 ? host : "";
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}
Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void Socket::shut_down() const {
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
}

int Socket::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  const in_port_t port = address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                                       : reinterpret_cast<sockaddr_in&>(address).sin_port;
  return ntohs(port);
}

std::string Socket::host() const { return host_by(getsockname, fd_); }
std::string Socket::peer_host() const { return host_by(getpeername, fd_); }

Interrupt::Interrupt() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CHECK(event_.fd() >= 0); }

void Interrupt::raise() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(event_.fd(), &one, sizeof(one));  // a full counter is raised already
}

absl::StatusOr<Socket> listen_on(const std::string& host, int port) {
  ASSIGN_OR_RETURN(const Addresses addresses, resolve(host, port, AI_PASSIVE));
  const addrinfo& address = *addresses;
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return failed("socket");
  const int on = 1;
  setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(socket.fd(), address.ai_addr, address.ai_addrlen) != 0 || listen(socket.fd(), kBacklog) != 0) {
    return failed(absl::StrCat("cannot listen on ", host, " port ", port));
  }
  return socket;
}

absl::StatusOr<Socket> connect_to(const std::string& host, int port, double deadline) {
  while (true) {
    absl::Status last;
    const auto addresses = resolve(host, port, 0);
    if (addresses.ok()) {
      for (const addrinfo* a = addresses->get(); a != nullptr; a = a->ai_next) {
        auto socket = try_connect(*a, deadline);
        if (socket.ok()) return socket;
        last = socket.status();
      }
    } else {
      last = addresses.status();  // the name of a pod appears after the pod
    }
    if (base::steady_seconds() + kRetrySeconds >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("no connection to ", host, " port ", port, ": ", last.message()));
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(kRetrySeconds));
  }
}

absl::StatusOr<Socket> accept_from(const Socket& listener, double deadline) {
  while (true) {
    RETURN_IF_ERROR(wait_for(listener.fd(), POLLIN, deadline));
    Socket socket(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.fd() < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      return failed("accept");
    }
    prepare(socket);
    return socket;
  }
}

absl::Status write_all(const Socket& socket, std::span<const std::byte> bytes, double deadline) {
  while (!bytes.empty()) {
    const ssize_t n = send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(wait_for(socket.fd(), POLLOUT, deadline));
    } else if (errno != EINTR) {
      return failed("the connection broke");
    }
  }
  return absl::OkStatus();
}

absl::Status read_all(const Socket& socket, std::span<std::byte> bytes, double deadline) {
  while (!bytes.empty()) {
    const ssize_t n = recv(socket.fd(), bytes.data(), bytes.size(), 0);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
    } else if (n == 0) {
      return absl::UnavailableError("the connection was closed");
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(wait_for(socket.fd(), POLLIN, deadline));
    } else if (errno != EINTR) {
      return failed("the connection broke");
    }
  }
  return absl::OkStatus();
}

}  // namespace polymath::parallel
