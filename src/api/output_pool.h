#pragma once

// Threads that turn tokens into text and text into events, off the engine thread.
//
// A scheduled job runs once, on any of the threads, and never on two at once. Scheduled while it runs, it runs once
// more. So a job reads its input in order and without locks. The queue holds each job at most once.
//
// Thread safety: schedule() may be called from any thread.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace polymath::api {

class OutputJob {
 public:
  virtual ~OutputJob() = default;
  virtual void run() = 0;

 private:
  friend class OutputPool;
  enum class State { kIdle, kQueued, kRunning, kAgain };
  std::atomic<State> state_{State::kIdle};
};

class OutputPool {
 public:
  explicit OutputPool(int n_threads);
  ~OutputPool();  // runs what is queued, then joins
  OutputPool(const OutputPool&) = delete;
  OutputPool& operator=(const OutputPool&) = delete;

  void schedule(std::shared_ptr<OutputJob> job);

 private:
  void enqueue(std::shared_ptr<OutputJob> job);
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<OutputJob>> queue_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace polymath::api
