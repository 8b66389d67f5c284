#include "commands/http/stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "commands/http/target.h"

namespace polymath::commands::http {
namespace {

// Waits until the socket may be read or written. kDeadlineExceeded: not within `seconds`.
absl::Status wait_for(int fd, short events, double seconds) {
  const double until = base::steady_seconds() + seconds;
  while (true) {
    pollfd one{fd, events, 0};
    const double left = std::max(0.0, until - base::steady_seconds());
    const int n = ::poll(&one, 1, static_cast<int>(std::ceil(left * 1e3)));
    if (n > 0) return absl::OkStatus();
    if (n == 0) return absl::DeadlineExceededError(absl::StrCat("no byte for ", seconds, " s"));
    if (errno != EINTR) return absl::UnavailableError(absl::StrCat("poll: ", std::strerror(errno)));
  }
}

class Socket : public Stream {
 public:
  Socket(int fd, double timeout_s) : fd_(fd), timeout_s_(timeout_s) {}
  ~Socket() override { close(fd_); }

  absl::Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        RETURN_IF_ERROR(wait(POLLOUT));
      } else if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat("send: ", std::strerror(errno)));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> read(char* out, size_t size) override {
    while (true) {
      const ssize_t n = ::recv(fd_, out, size, 0);
      if (n >= 0) return static_cast<size_t>(n);
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        RETURN_IF_ERROR(wait(POLLIN));
      } else if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat("receive: ", std::strerror(errno)));
      }
    }
  }

  absl::Status wait(short events) { return wait_for(fd_, events, timeout_s_); }
  int fd() const { return fd_; }

 private:
  const int fd_;
  const double timeout_s_;
};

absl::StatusOr<std::unique_ptr<Socket>> connect_socket(const Url& url, double timeout_s) {
  ASSIGN_OR_RETURN(const auto addresses, resolve({.host = url.host, .port = url.port}));
  absl::Status last;
  for (const Address& address : addresses) {
    const auto fd = start_connect(address);
    if (!fd.ok()) {
      last = fd.status();
      continue;
    }
    auto socket = std::make_unique<Socket>(*fd, timeout_s);
    last = socket->wait(POLLOUT);
    if (last.ok()) last = connect_result(*fd);
    if (last.ok()) return socket;
  }
  return absl::Status(last.code(), absl::StrCat(url.authority(), ": ", last.message()));
}

// The roots of this machine's distribution, where OpenSSL was built for another place.
void add_usual_roots(SSL_CTX* context) {
  for (const char* bundle : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                             "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    if (access(bundle, R_OK) == 0 && SSL_CTX_load_verify_locations(context, bundle, nullptr) == 1) return;
  }
}

// Shared by all connections, and kept for the life of the process.
SSL_CTX* client_context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    if (made == nullptr) return made;
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_verify_paths(made);
    const bool named = std::getenv("SSL_CERT_FILE") != nullptr || std::getenv("SSL_CERT_DIR") != nullptr;
    if (!named) add_usual_roots(made);
    return made;
  }();
  return context;
}

class TlsStream : public Stream {
 public:
  explicit TlsStream(std::unique_ptr<Socket> socket) : socket_(std::move(socket)), ssl_(SSL_new(client_context())) {}
  ~TlsStream() override {
    if (ssl_ != nullptr && !broken_) SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }

  absl::Status handshake(const Url& url) {
    if (ssl_ == nullptr || SSL_set_fd(ssl_, socket_->fd()) != 1) return absl::InternalError("TLS: no memory");
    // An address has no server name, and is looked for among the certificate's addresses.
    const bool is_address = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), url.host.c_str()) == 1;
    if (!is_address &&
        (SSL_set_tlsext_host_name(ssl_, url.host.c_str()) != 1 || SSL_set1_host(ssl_, url.host.c_str()) != 1)) {
      return absl::InvalidArgumentError(absl::StrCat(url.host, ": no host name"));
    }
    while (true) {
      ERR_clear_error();
      const int n = SSL_connect(ssl_);
      if (n == 1) return absl::OkStatus();
      const absl::Status waited = wait_after(n);
      if (waited.ok()) continue;
      const long verified = SSL_get_verify_result(ssl_);
      if (verified == X509_V_OK)
        return absl::Status(waited.code(), absl::StrCat(url.authority(), ": ", waited.message()));
      return absl::PermissionDeniedError(
          absl::StrCat(url.authority(), ": its certificate is not trusted: ", X509_verify_cert_error_string(verified),
                       " (SSL_CERT_FILE names other roots)"));
    }
  }

  absl::Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      size_t taken = 0;
      ERR_clear_error();
      const int n = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &taken);
      if (n != 1) RETURN_IF_ERROR(wait_after(n));
      bytes.remove_prefix(taken);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> read(char* out, size_t size) override {
    while (true) {
      size_t got = 0;
      ERR_clear_error();
      const int n = SSL_read_ex(ssl_, out, size, &got);
      if (n == 1) return got;
      if (SSL_get_error(ssl_, n) == SSL_ERROR_ZERO_RETURN) return size_t{0};
      RETURN_IF_ERROR(wait_after(n));
    }
  }

 private:
  // After a call that returned `n`: waits for what TLS needs next, or says what went wrong.
  absl::Status wait_after(int n) {
    const int error = SSL_get_error(ssl_, n);
    if (error == SSL_ERROR_WANT_READ) return socket_->wait(POLLIN);
    if (error == SSL_ERROR_WANT_WRITE) return socket_->wait(POLLOUT);
    broken_ = true;
    const unsigned long code = ERR_get_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    return absl::UnavailableError(absl::StrCat("TLS: ", reason == nullptr ? "the connection was cut" : reason));
  }

  std::unique_ptr<Socket> socket_;
  SSL* const ssl_;
  bool broken_ = false;  // nothing more may be sent
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stream>> Stream::connect(const Url& url, double timeout_s) {
  ASSIGN_OR_RETURN(std::unique_ptr<Socket> socket, connect_socket(url, timeout_s));
  if (!url.tls) return socket;
  if (client_context() == nullptr) return absl::InternalError("TLS cannot be used");
  auto tls = std::make_unique<TlsStream>(std::move(socket));
  RETURN_IF_ERROR(tls->handshake(url));
  return tls;
}

}  // namespace polymath::commands::http
