#pragma once

// For this room's tests: a raw socket with a time limit on everything, and a server to point it at.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "server/http_server.h"

namespace polymath::server {

inline constexpr int kTestTimeoutMs = 8000;

class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(0, connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  }
  explicit TestClient(const std::string& unix_path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    unix_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(0, connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  }
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;  // the server has closed; the test checks its answer
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void half_close() { shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close();
  }
  int fd() const { return fd_; }

  // False: the end, an error, or a timeout.
  bool read_more(int timeout_ms = kTestTimeoutMs) {
    pollfd query{.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&query, 1, timeout_ms) <= 0) return false;
    char bytes[4096];
    const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
    if (n <= 0) return false;
    received_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  bool read_until(std::string_view text) {
    while (received_.find(text) == std::string::npos) {
      if (!read_more()) return false;
    }
    return true;
  }
  // Everything until the server closes.
  std::string read_all() {
    while (read_more()) {
    }
    return std::exchange(received_, {});
  }
  // One response. Without a Content-Length it has no body.
  std::string read_response() {
    if (!read_until("\r\n\r\n")) return std::exchange(received_, {});
    const size_t head = received_.find("\r\n\r\n") + 4;
    const size_t at = received_.find("Content-Length: ");
    const size_t size = head + (at < head ? std::stoul(received_.substr(at + 16)) : 0);
    while (received_.size() < size && read_more()) {
    }
    std::string out = received_.substr(0, size);
    received_.erase(0, size);
    return out;
  }
  // True: the server closes the connection within the time.
  bool closed_within(int timeout_ms) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (std::chrono::steady_clock::now() < until) {
      pollfd query{.fd = fd_, .events = POLLIN, .revents = 0};
      if (poll(&query, 1, 20) > 0 && !read_more(0)) return true;
    }
    return false;
  }
  const std::string& received() const { return received_; }
  void drop_received() { received_.clear(); }

 private:
  int fd_;
  std::string received_;
};

inline int status_of(const std::string& response) { return response.size() < 12 ? 0 : std::atoi(response.c_str() + 9); }
inline std::string body_of(const std::string& response) {
  const size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

// Counts what other threads do; a test waits for it with a limit.
class TestSignal {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool wait(int times = 1, int timeout_ms = kTestTimeoutMs) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return count_ >= times; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// Keeps the replies of handlers; the test's own thread finishes them.
class HeldReply {
 public:
  void put(std::shared_ptr<HttpReply> reply) {
    const std::lock_guard lock(mutex_);
    replies_.push_back(std::move(reply));
    arrived_.notify_all();
  }
  std::shared_ptr<HttpReply> take() {
    std::unique_lock lock(mutex_);
    const bool in_time =
        arrived_.wait_for(lock, std::chrono::milliseconds(kTestTimeoutMs), [this] { return !replies_.empty(); });
    if (!in_time) throw std::runtime_error("no reply was held in time");
    auto reply = std::move(replies_.front());
    replies_.pop_front();
    return reply;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<HttpReply>> replies_;
};

inline HttpServerOptions test_options() {
  HttpServerOptions options;
  options.host = "127.0.0.1";
  options.port = 0;
  return options;
}

}  // namespace polymath::server
