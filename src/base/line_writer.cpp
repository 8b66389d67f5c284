#include "base/line_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/process/thread_name.h"

namespace polymath::base {
namespace {

constexpr int kPollMilliseconds = 500;  // between two looks at a descriptor that takes nothing

bool takes_some(int fd, int milliseconds) {
  pollfd state{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&state, 1, milliseconds) > 0;  // also where it has an error: write() says which
}

}  // namespace

PatientFd::~PatientFd() {
  if (own_ >= 0) close(own_);
}

// Chooses the way to write, again where the descriptor became another file. False: it is closed.
bool PatientFd::look() {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return false;
  if (inode_ != 0 && info.st_ino == inode_ && info.st_dev == device_) return true;
  inode_ = info.st_ino;
  device_ = info.st_dev;
  if (own_ >= 0) close(own_);
  own_ = -1;
  way_ = Way::kDirect;
  if (S_ISSOCK(info.st_mode)) way_ = Way::kSocket;
  if (!S_ISFIFO(info.st_mode) && !S_ISCHR(info.st_mode)) return true;
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_);
  own_ = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (own_ < 0) way_ = Way::kPolled;
  return true;
}

ssize_t PatientFd::write(std::string_view text) {
  if (!look()) return -1;
  ssize_t n = 0;
  do {
    if (way_ == Way::kSocket) {
      n = send(fd_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (way_ == Way::kPolled) {
      if (!takes_some(fd_, 0)) return 0;
      n = ::write(fd_, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    } else {
      n = ::write(fd(), text.data(), text.size());
    }
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return n;
  return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
}

// Writes what is kept. False: some is left. REQUIRES: mutex_.
bool LineWriter::pump() {
  while (!kept_.empty() || n_dropped_ > 0) {
    if (kept_.empty()) {
      kept_.push_back(options_.dropped(std::exchange(n_dropped_, 0)));
      kept_bytes_ += kept_.back().size();
    }
    const std::string& line = kept_.front();
    const ssize_t n = out_.write(std::string_view(line).substr(begun_));
    if (n == 0) return false;
    begun_ += n < 0 ? line.size() : static_cast<size_t>(n);
    if (begun_ < line.size()) continue;
    kept_bytes_ -= line.size();
    kept_.pop_front();
    begun_ = 0;
  }
  empty_.notify_all();
  return true;
}

void LineWriter::keep(std::string_view line) {
  if (n_dropped_ > 0 || kept_bytes_ + line.size() > options_.bytes_max) {
    ++n_dropped_;
    return;
  }
  kept_.emplace_back(line);
  kept_bytes_ += line.size();
}

void LineWriter::write(std::string_view line) {
  const std::lock_guard lock(mutex_);
  keep(line);
  if (!flushing_ && !pump()) start_flusher();
}

// Without a thread the next line tries again.
void LineWriter::start_flusher() {
  try {
    std::thread([this] { flush_all(); }).detach();
    flushing_ = true;
  } catch (const std::system_error&) {
  }
}

void LineWriter::flush_all() {
  name_thread("log");
  std::unique_lock lock(mutex_);
  while (!pump()) {
    const int fd = out_.fd();
    lock.unlock();
    takes_some(fd, kPollMilliseconds);
    lock.lock();
  }
  flushing_ = false;
}

bool LineWriter::flush(double seconds) {
  std::unique_lock lock(mutex_);
  if (pump()) return true;
  return empty_.wait_for(lock, std::chrono::duration<double>(seconds),
                         [this] { return kept_.empty() && n_dropped_ == 0; });
}

void write_raw(std::string_view text) {
  const double end = steady_seconds() + 1;
  constexpr size_t kPiece = 512;  // fits where poll() says that there is room
  while (!text.empty()) {
    const double left = end - steady_seconds();
    if (left <= 0 || !takes_some(STDERR_FILENO, static_cast<int>(left * 1000) + 1)) return;
    const ssize_t n = ::write(STDERR_FILENO, text.data(), std::min(text.size(), kPiece));
    if (n < 0 && errno != EINTR) return;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace polymath::base
