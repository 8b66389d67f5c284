#pragma once

// A connected byte stream for a Session: TCP or a Unix socket, plain or under TLS.
//
// Callbacks run on the socket's executor, which is one I/O thread. At most one read and one write at a time.
// Thread safety: none, but for shut_down(); on that thread only.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"

namespace boost::asio::ssl {
class context;
}

namespace polymath::server {

using Socket = boost::asio::generic::stream_protocol::socket;

class Transport {
 public:
  using Error = boost::system::error_code;
  using Done = std::function<void(const Error&, size_t)>;

  virtual ~Transport() = default;

  virtual void handshake(std::function<void(const Error&)> done) = 0;  // plain: done at once
  virtual void read_some(boost::asio::mutable_buffer buffer, Done done) = 0;
  virtual void write_some(boost::asio::const_buffer buffer, Done done) = 0;
  // Ends our sending side; reading goes on. `unread`: the peer may still be sending. `owner` lives until it is done.
  virtual void finish_writing(bool unread, std::shared_ptr<void> owner) = 0;
  virtual Socket& socket() = 0;

  // Calls back when the kernel reports an error or a hang-up, sometimes spuriously: check broken().
  void wait_for_error(std::function<void()> done);
  // True: writes can no longer arrive, because of a reset or a Unix socket closed in both directions. A closed TCP peer
  // looks half-closed until it answers a write with a reset.
  bool broken();
  void close(bool reset) noexcept;
  // Any thread, without an allocation: ends both directions, so that a pending read completes.
  void shut_down() noexcept;

 private:
  std::mutex mutex_;     // between close() and shut_down(): a closed descriptor may be another connection's
  bool closed_ = false;  // under mutex_
};

std::unique_ptr<Transport> make_plain_transport(Socket socket);
std::unique_ptr<Transport> make_tls_transport(Socket socket, boost::asio::ssl::context& context);

// True: the peer ended its sending side properly and may still read. Otherwise it is gone.
bool is_half_close(const Transport::Error& error);

// A certificate chain and its key, as PEM texts; the names are for messages.
struct TlsFiles {
  std::string certificate_name, certificate, key_name, key;
};
struct TlsContext {
  std::shared_ptr<boost::asio::ssl::context> context;
  double expires_at = 0;  // of the certificate, in seconds since 1970
};
// TLS 1.2 and later, HTTP/1.1 by ALPN. Under TLS 1.2 only suites with forward secrecy and AEAD: those of 1.3 all have
// both. kInvalidArgument names the bad file.
absl::StatusOr<TlsContext> make_tls_context(const TlsFiles& files);

}  // namespace polymath::server
