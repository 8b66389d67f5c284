#include "server/core.h"

#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/session.h"

namespace polymath::server {

std::shared_ptr<void> InFlight::try_enter(int max) {
  const std::lock_guard lock(mutex_);
  if (count_ >= max) return nullptr;
  ++count_;
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

bool Sessions::add(const std::shared_ptr<Session>& session) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  open_.emplace(session.get(), session);
  return true;
}

void Sessions::remove(const Session* session) {
  std::shared_ptr<Session> last;  // destroyed after the lock is released
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(session);
  if (found == open_.end()) return;
  last = std::move(found->second);
  open_.erase(found);
}

size_t Sessions::size() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

void Sessions::close_all() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& [key, session] : open_) session->close();  // only posts: it does not call remove()
}

void ThrottledWarning::warn(std::string_view message) {
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
  std::string line(message);
  if (left_out > 0) line += " (and " + std::to_string(left_out) + " more such lines)";
  base::log_warning("server", line);
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
      io(options.io_threads),
      workers(static_cast<size_t>(options.worker_threads)) {}

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
