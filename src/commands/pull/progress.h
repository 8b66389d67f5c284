#pragma once

// How far a pull is: a bar on a terminal, else a log line every few seconds.
//
// Thread safety: any thread.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace polymath::commands {

class PullProgress {
 public:
  // Writes to stderr until destruction.
  explicit PullProgress(uint64_t bytes_total);
  ~PullProgress();

  void there(int64_t bytes) { there_ += bytes; }  // of a file, without a download; negative: taken back
  void arrived(uint64_t bytes) { there_ += static_cast<int64_t>(bytes), arrived_ += bytes; }
  uint64_t arrived() const { return arrived_; }

 private:
  void show(bool last);
  std::string line() const;

  const uint64_t total_;
  const bool bar_;
  const double begun_;
  std::atomic<int64_t> there_ = 0;
  std::atomic<uint64_t> arrived_ = 0;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ends_ = false;
  std::thread thread_;
};

// "1.5 GiB".
std::string bytes_text(uint64_t bytes);

}  // namespace polymath::commands
