#include "parallel/nodes/control_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/process/thread_start.h"

namespace polymath::parallel {
namespace {

constexpr double kBeatSeconds = 0.5;
constexpr size_t kFirstRoom = 64 << 10;
constexpr int kLayerMask = 0xffff;  // that a trace can hold

Activity known(Activity activity) { return activity <= Activity::kReceive ? activity : Activity::kIdle; }

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

ControlLink::ControlLink(Socket socket, const Options& options, const RankTrace& own, RankTrace* theirs,
                         std::function<void(const absl::Status&)> on_failure)
    : socket_(std::move(socket)),
      options_(options),
      own_(own),
      theirs_(theirs),
      on_failure_(std::move(on_failure)),
      heard_at_(base::steady_seconds()),
      partial_(kFirstRoom) {
  thread_ = base::start_thread("node-link", [this] { watch(); });
}

ControlLink::~ControlLink() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  interrupt_.raise();
  thread_.join();
}

void ControlLink::fail(const absl::Status& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !status_.ok()) return;
    status_ = reason;
  }
  changed_.notify_all();
  interrupt_.raise();
  on_failure_(reason);
}

absl::Status ControlLink::health() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

absl::Status ControlLink::send(MessageKind kind, std::span<const std::byte> bytes) {
  RETURN_IF_ERROR(health());
  if (bytes.size() > kBytesMax) {
    return absl::InternalError(absl::StrCat("a message of ", bytes.size(), " bytes is over the limit of ", kBytesMax));
  }
  const Head head{static_cast<uint32_t>(kind), static_cast<uint32_t>(bytes.size())};
  const double deadline = base::steady_seconds() + options_.silence_s;
  const std::lock_guard lock(write_mutex_);
  RETURN_IF_ERROR(write_all(socket_, bytes_of(head), deadline));
  return write_all(socket_, bytes, deadline);
}

absl::StatusOr<ControlMessage> ControlLink::receive() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !queue_.empty() || !status_.ok(); });
  if (queue_.empty()) return status_;
  ControlMessage message = std::move(queue_.front());
  queue_.pop_front();
  return message;
}

absl::Status ControlLink::beat() {
  const RankTrace::State now = own_.now();
  return send(MessageKind::kHeartbeat, bytes_of(now));
}

void ControlLink::watch() {
  double next_beat = 0;
  while (true) {
    pollfd waits[] = {{socket_.fd(), POLLIN, 0}, {interrupt_.fd(), POLLIN, 0}};
    const int n = poll(waits, 2, static_cast<int>(kBeatSeconds * 1e3));
    if (waits[1].revents != 0) return;
    absl::Status status;
    if (n > 0) status = read_some();
    const double now = base::steady_seconds();
    if (status.ok() && now - heard_at_ >= options_.silence_s) {
      status = absl::UnavailableError(absl::StrCat("nothing was heard for ", options_.silence_s, " s"));
    }
    if (status.ok() && now >= next_beat) {
      status = beat();
      next_beat = now + kBeatSeconds;
    }
    if (!status.ok()) {
      return fail(absl::Status(status.code(), absl::StrCat("node ", options_.peer, ": ", status.message())));
    }
  }
}

absl::Status ControlLink::read_some() {
  while (true) {
    size_t wanted = sizeof(Head);
    Head head;
    if (n_partial_ >= sizeof(Head)) {
      std::memcpy(&head, partial_.data(), sizeof(head));
      if (head.bytes > kBytesMax || head.kind >= static_cast<uint32_t>(MessageKind::kCount)) {
        return absl::InternalError(
            absl::StrCat("it sent a message of kind ", head.kind, " and ", head.bytes, " bytes: no such one"));
      }
      wanted += head.bytes;
      if (n_partial_ == wanted) {
        RETURN_IF_ERROR(take(head));
        continue;
      }
    }
    if (partial_.size() < wanted) partial_.resize(wanted);
    const ssize_t n = recv(socket_.fd(), partial_.data() + n_partial_, wanted - n_partial_, 0);
    if (n == 0) return absl::UnavailableError("it closed the connection");
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? absl::OkStatus() : absl::UnavailableError(std::strerror(errno));
    n_partial_ += static_cast<size_t>(n);
    heard_at_ = base::steady_seconds();
  }
}

// A whole message is in partial_.
absl::Status ControlLink::take(const Head& head) {
  const std::byte* data = partial_.data() + sizeof(Head);
  n_partial_ = 0;
  if (static_cast<MessageKind>(head.kind) == MessageKind::kHeartbeat) {
    RankTrace::State state;
    if (head.bytes != sizeof(state)) return absl::InternalError("it sent a heartbeat of another size");
    std::memcpy(&state, data, sizeof(state));
    if (theirs_ != nullptr && state != heard_) theirs_->enter(known(state.activity), state.layer & kLayerMask);
    heard_ = state;
    return absl::OkStatus();
  }
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= kQueuedMax) return absl::InternalError("it sends messages that nothing asked for");
    queue_.push_back({static_cast<MessageKind>(head.kind), {data, data + head.bytes}});
  }
  changed_.notify_all();
  return absl::OkStatus();
}

}  // namespace polymath::parallel
