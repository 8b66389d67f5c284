#pragma once

// Lines to a descriptor that may stop taking them: a pipe without a reader, a stopped terminal.
//
//   LineWriter writer({.fd = STDERR_FILENO, .bytes_max = 1 << 18, .dropped = sentence});
//   writer.write("a line\n");     // never waits
//
// What the descriptor does not take now is kept in order. A thread of its own writes it as soon as it flows again.
// Thread safety: any thread.

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace polymath::base {

// Writes without waiting, and without O_NONBLOCK on a description that other processes share. Thread safety: none.
class PatientFd {
 public:
  explicit PatientFd(int fd) : fd_(fd) {}
  ~PatientFd();
  PatientFd(const PatientFd&) = delete;
  PatientFd& operator=(const PatientFd&) = delete;

  // Bytes taken. 0: none can be taken now. -1: none ever will be.
  ssize_t write(std::string_view text);
  int fd() const { return own_ >= 0 ? own_ : fd_; }  // for poll()

 private:
  enum class Way { kDirect, kSocket, kPolled, kCount };
  bool look();

  const int fd_;
  int own_ = -1;  // the same pipe or terminal, opened again with O_NONBLOCK; -1: none
  Way way_ = Way::kDirect;
  dev_t device_ = 0;
  ino_t inode_ = 0;  // what fd_ was when `way_` was chosen; 0: not chosen
};

struct LineWriterOptions {
  int fd = 2;
  size_t bytes_max = 1 << 18;                          // of lines that wait; beyond it new ones are dropped and counted
  std::string (*dropped)(uint64_t n_lines) = nullptr;  // the line that says so, once all before it are written
};

class LineWriter {
 public:
  explicit LineWriter(const LineWriterOptions& options) : options_(options), out_(options.fd) {}

  void write(std::string_view line);
  // Waits until nothing is kept, at most so long. False: some is.
  bool flush(double seconds);

 private:
  bool pump();
  void keep(std::string_view line);
  void start_flusher();
  void flush_all();

  const LineWriterOptions options_;
  std::mutex mutex_;
  std::condition_variable empty_;
  PatientFd out_;
  std::deque<std::string> kept_;
  size_t kept_bytes_ = 0;
  size_t begun_ = 0;  // bytes of the first kept line that are written
  uint64_t n_dropped_ = 0;
  bool flushing_ = false;  // a thread writes what is kept
};

// For signal handlers and last words: to stderr, without locks or memory. Waits at most a second.
void write_raw(std::string_view text);

}  // namespace polymath::base
