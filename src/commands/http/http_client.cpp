#include "commands/http/http_client.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"

namespace polymath::commands::http {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr int kEventsMax = 256;        // of one wait; the others come with the next
constexpr double kWaitSecondsMax = 1;  // a longer wait is cut; callers poll again

absl::Status system_error(const char* what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

struct HttpClient::Connection {
  explicit Connection(const ResponseLimits& limits) : parser(limits) {}

  int fd = -1;
  uint64_t use = 0;  // counts requests: a deadline of an earlier one is void
  bool connecting = false;
  bool reused = false;    // it carried a request before this one
  size_t tries_left = 0;  // other addresses, for a connect that fails
  size_t written = 0;     // of `request`
  size_t received = 0;    // bytes of the response
  bool spoiled = false;   // bytes behind the response: not used again
  std::string request;    // kept for another try
  ResponseParser parser;
  ResponseHandler* handler = nullptr;  // null: idle or closed
};

HttpClient::HttpClient(const ClientLimits& limits, std::vector<Address> addresses, int epoll)
    : limits_(limits), addresses_(std::move(addresses)), epoll_(epoll), read_buffer_(kReadBytes, '\0') {}

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::make(const Target& target, const ClientLimits& limits) {
  ASSIGN_OR_RETURN(std::vector<Address> addresses, resolve(target));
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return system_error("epoll");
  return std::unique_ptr<HttpClient>(new HttpClient(limits, std::move(addresses), epoll));
}

HttpClient::~HttpClient() {
  for (const auto& connection : connections_) {
    if (connection->fd >= 0) close(connection->fd);
  }
  close(epoll_);
}

HttpClient::Connection& HttpClient::free_connection() {
  for (std::vector<Connection*>* from : {&idle_, &closed_}) {
    if (from->empty()) continue;
    Connection* const connection = from->back();
    from->pop_back();
    return *connection;
  }
  connections_.push_back(std::make_unique<Connection>(limits_.response));
  return *connections_.back();
}

void HttpClient::send(std::string request, ResponseHandler& handler) {
  CHECK(!full());
  Connection& connection = free_connection();
  ++in_flight_;
  ++connection.use;
  connection.handler = &handler;
  connection.request = std::move(request);
  connection.written = connection.received = 0;
  connection.tries_left = addresses_.size() - 1;
  connection.parser.restart();
  connection.reused = connection.fd >= 0;
  deadlines_.push_back({base::steady_seconds() + limits_.timeout_s, {&connection, connection.use}});
  if (!connection.reused) return open(connection);
  watch(connection, false);  // its socket is writable: the loop writes
}

void HttpClient::open(Connection& connection) {
  auto fd = start_connect(addresses_[address_]);
  while (!fd.ok() && connection.tries_left > 0) {
    --connection.tries_left;
    address_ = (address_ + 1) % addresses_.size();
    fd = start_connect(addresses_[address_]);
  }
  if (!fd.ok()) {
    failed_.push_back(&connection);  // on_end must not be called out of send()
    return;
  }
  connection.fd = *fd;
  connection.connecting = true;
  watch(connection, true);
}

// Waits for room to write while there is something to write, and always for bytes.
void HttpClient::watch(Connection& connection, bool first) {
  const bool writes = connection.connecting || connection.written < connection.request.size();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | (writes ? EPOLLOUT : 0u);
  event.data.ptr = &connection;
  CHECK(epoll_ctl(epoll_, first ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, connection.fd, &event) == 0);
}

absl::Status HttpClient::poll(double seconds) {
  for (Connection* connection : std::exchange(failed_, {})) {
    finish(*connection, absl::UnavailableError("connect: the server cannot be reached"), base::steady_seconds());
    seconds = 0;
  }
  const double wait = std::clamp(seconds, 0.0, kWaitSecondsMax);
  epoll_event events[kEventsMax];
  // ppoll takes nanoseconds: an arrival is not late for a millisecond's rounding.
  const timespec time{static_cast<time_t>(wait), static_cast<long>((wait - std::floor(wait)) * 1e9)};
  pollfd ready{epoll_, POLLIN, 0};
  if (ppoll(&ready, 1, &time, nullptr) < 0 && errno != EINTR) return system_error("poll");
  const int n = epoll_wait(epoll_, events, kEventsMax, 0);
  if (n < 0 && errno != EINTR) return system_error("epoll");
  // A connection has one event at most, and closing one touches no other.
  for (int i = 0; i < n; ++i) on_ready(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
  end_late();
  return absl::OkStatus();
}

void HttpClient::on_ready(Connection& connection, uint32_t events) {
  if (connection.fd < 0) return;
  if (connection.handler == nullptr) {  // idle: the server closes it, or speaks out of turn
    idle_.erase(std::find(idle_.begin(), idle_.end(), &connection));
    close_socket(connection);
    closed_.push_back(&connection);
    return;
  }
  if (connection.connecting) {
    const absl::Status connected = connect_result(connection.fd);
    if (!connected.ok()) return fail(connection, connected);
    connection.connecting = false;
  }
  if ((events & EPOLLOUT) != 0) {
    // A server may refuse before it has read all: its answer is read below, whatever writing says.
    const absl::Status written = write(connection);
    const bool answered = (events & EPOLLIN) != 0;
    if (!written.ok() && !answered) return fail(connection, written);
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) read(connection);
}

absl::Status HttpClient::write(Connection& connection) {
  while (connection.written < connection.request.size()) {
    const ssize_t n = ::send(connection.fd, connection.request.data() + connection.written,
                             connection.request.size() - connection.written, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return absl::OkStatus();
    if (n < 0) return system_error("send");
    connection.written += static_cast<size_t>(n);
  }
  watch(connection, false);
  return absl::OkStatus();
}

// One read of each ready connection: no peer keeps the loop from the others.
void HttpClient::read(Connection& connection) {
  const ssize_t n = recv(connection.fd, read_buffer_.data(), read_buffer_.size(), 0);
  const double now = base::steady_seconds();
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n < 0) return fail(connection, system_error("receive"));
  if (n == 0) {
    const absl::Status ended = connection.parser.end_of_stream();
    return ended.ok() ? finish(connection, ended, now) : fail(connection, ended);
  }
  connection.received += static_cast<size_t>(n);
  const absl::Status taken = take(connection, {read_buffer_.data(), static_cast<size_t>(n)}, now);
  if (!taken.ok() || connection.parser.complete()) finish(connection, taken, now);
}

absl::Status HttpClient::take(Connection& connection, std::string_view bytes, double now) {
  body_.clear();
  const auto taken = connection.parser.feed(bytes, body_);
  if (!body_.empty()) RETURN_IF_ERROR(connection.handler->on_body(connection.parser.head(), body_, now));
  connection.spoiled = taken.ok() && *taken < bytes.size();
  return taken.status();
}

void HttpClient::fail(Connection& connection, const absl::Status& status) {
  if (!try_again(connection)) finish(connection, status, base::steady_seconds());
}

// Once more on a new socket: the server closed a kept connection, or one of its addresses refuses.
bool HttpClient::try_again(Connection& connection) {
  const bool stale = connection.reused && connection.received == 0;
  const bool refused = connection.connecting && connection.tries_left > 0;
  if (!stale && !refused) return false;
  if (refused) {
    --connection.tries_left;
    address_ = (address_ + 1) % addresses_.size();
  }
  close_socket(connection);
  connection.reused = false;
  connection.written = 0;
  connection.parser.restart();
  open(connection);
  return true;
}

void HttpClient::finish(Connection& connection, const absl::Status& status, double now) {
  const ResponseHead head = connection.parser.head();
  const bool sent = connection.written == connection.request.size();
  const bool kept = status.ok() && sent && head.keep_alive && !connection.spoiled && connection.fd >= 0;
  if (!kept) close_socket(connection);
  ResponseHandler& handler = *std::exchange(connection.handler, nullptr);
  connection.request = {};
  connection.written = 0;
  (kept ? idle_ : closed_).push_back(&connection);
  --in_flight_;
  handler.on_end(status, head, now);
}

void HttpClient::close_socket(Connection& connection) {
  if (connection.fd >= 0) close(connection.fd);
  connection.fd = -1;
  connection.connecting = connection.spoiled = false;
}

void HttpClient::end_late() {
  const double now = base::steady_seconds();
  while (!deadlines_.empty()) {
    const auto [deadline, which] = deadlines_.front();
    const auto [connection, use] = which;
    const bool runs = connection->handler != nullptr && connection->use == use;
    if (runs && deadline > now) return;
    deadlines_.pop_front();
    if (!runs) continue;
    std::erase(failed_, connection);
    finish(*connection, absl::DeadlineExceededError("no answer within the time-out"), now);
  }
}

}  // namespace polymath::commands::http
