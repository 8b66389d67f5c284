#include "server/core.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/quietly.h"
#include "server/response_head.h"

namespace polymath::server {

std::shared_ptr<void> InFlight::try_enter(int max) {
  {
    const std::lock_guard lock(mutex_);
    if (count_ >= max) return nullptr;
    ++count_;
  }
  // Without the lock: if this cannot allocate, the deleter runs at once.
  return {static_cast<void*>(this), [this](void*) {
            const std::lock_guard relock(mutex_);
            if (--count_ == 0) empty_.notify_all();
          }};
}

bool InFlight::full(int max) const {
  const std::lock_guard lock(mutex_);
  return count_ >= max;
}

bool InFlight::wait_until_empty(double seconds) {
  std::unique_lock lock(mutex_);
  return empty_.wait_for(lock, std::chrono::duration<double>(std::max(0.0, seconds)), [this] { return count_ == 0; });
}

void ThrottledWarning::warn(std::string_view message) noexcept {
  int left_out = 0;
  {
    const std::lock_guard lock(mutex_);
    const double now = base::steady_seconds();
    if (now < next_at_) {
      ++left_out_;
      return;
    }
    next_at_ = now + 1;
    std::swap(left_out, left_out_);
  }
  try {
    std::string line(message);
    if (left_out > 0) line += " (and " + std::to_string(left_out) + " more such lines)";
    base::log_warning("server", line);
  } catch (const std::exception&) {
    std::fputs("server: no memory for a log line\n", stderr);
  }
}

void log_exception(std::string_view name, const char* what) noexcept {
  static ThrottledWarning warning;
  char line[256];  // no allocation: memory may be what is missing
  std::snprintf(line, sizeof(line), "%.*s threw: %s", static_cast<int>(name.size()), name.data(), what);
  warning.warn(line);
}

namespace {

// `message` is one of the server's own sentences: nothing in it needs escaping.
std::string default_error_body(const ServerError& error) {
  return R"({"error":{"message":")" + std::string(error.message) + R"(","code":)" + std::to_string(error.status) + "}}";
}

}  // namespace

Core::Core(HttpServerOptions o)
    : options(std::move(o)),
      error_body(default_error_body),
      bodies(options.limits.body_bytes_total_max),
      sessions(options.limits) {
  const int n = options.io_threads + (options.probe_port.has_value() ? 1 : 0);
  for (int i = 0; i < n; ++i) io.emplace_back(/*concurrency_hint=*/1);
}

boost::asio::io_context& Core::next_io() {
  return io[io_turn.fetch_add(1, std::memory_order_relaxed) % static_cast<unsigned>(options.io_threads)];
}

void Core::make_refusal() {
  const std::string body = error_body({503, "too many connections", {}});
  const HttpHeaders retry = {{"Retry-After", "1"}};
  refusal = make_response_head({.status = 503,
                                .content_type = "application/json",
                                .extra = &retry,
                                .content_length = body.size(),
                                .close = true}) +
            body;
}

// What the peer has sent is read: unread, it would reset the connection, and the peer might lose the answer.
void Core::refuse(int fd) const noexcept {
  constexpr int kReadsMax = 8;
  ::send(fd, refusal.data(), refusal.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(fd, SHUT_WR);
  char sent[4096];
  for (int i = 0; i<kReadsMax&& ::recv(fd, sent, sizeof(sent), MSG_DONTWAIT)> 0; ++i) {
  }
}

HttpHeaders Core::cors_headers(const HttpRequest& request) const {
  const std::string_view origin = request.header("origin");
  if (origin.empty()) return {};
  for (const std::string& allowed : options.cors_origins) {
    if (allowed == "*") return {{"Access-Control-Allow-Origin", "*"}};
    if (allowed == origin) return {{"Access-Control-Allow-Origin", allowed}, {"Vary", "Origin"}};
  }
  return {};
}

}  // namespace polymath::server
