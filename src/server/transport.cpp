#include "server/transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/error.hpp>

namespace polymath::server {

void Transport::wait_for_error(std::function<void()> done) {
  socket().async_wait(Socket::wait_error, [done = std::move(done)](const Error&) { done(); });
}

bool Transport::broken() {
  if (!socket().is_open()) return true;
  pollfd query{.fd = socket().native_handle(), .events = 0, .revents = 0};
  return poll(&query, 1, 0) > 0 && (query.revents & (POLLERR | POLLHUP)) != 0;
}

void Transport::close(bool reset) noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  Error ignored;  // the socket is closed in any case
  if (reset) socket().set_option(boost::asio::socket_base::linger(true, 0), ignored);
  socket().close(ignored);
}

void Transport::shut_down() noexcept {
  const std::lock_guard lock(mutex_);
  if (!closed_) ::shutdown(socket().native_handle(), SHUT_RDWR);
}

bool is_half_close(const Transport::Error& error) { return error == boost::asio::error::eof; }

namespace {

class Plain final : public Transport {
 public:
  explicit Plain(Socket socket) : socket_(std::move(socket)) {}

  void handshake(std::function<void(const Error&)> done) override { done({}); }
  void read_some(boost::asio::mutable_buffer buffer, Done done) override {
    socket_.async_read_some(buffer, std::move(done));
  }
  void write_some(boost::asio::const_buffer buffer, Done done) override {
    socket_.async_write_some(buffer, std::move(done));
  }
  void finish_writing(bool, std::shared_ptr<void>) override {
    Error ignored;  // the peer may be gone already
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  Socket& socket() override { return socket_; }

 private:
  Socket socket_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(Socket socket) { return std::make_unique<Plain>(std::move(socket)); }

}  // namespace polymath::server
