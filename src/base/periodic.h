#pragma once

// A thread that calls a function at a steady pace, until it is destroyed.
//
//   Periodic refresh(5, [] { ... });   // first after 5 s, never on the caller's thread
//
// The function must not throw.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace polymath::base {

class Periodic {
 public:
  // Throws std::system_error: the system makes no more threads.
  Periodic(double seconds, std::function<void()> call)
      : seconds_(seconds), call_(std::move(call)), thread_([this] { work(); }) {}
  ~Periodic() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::duration<double>(seconds_), [this] { return stop_; })) {
      lock.unlock();
      call_();
      lock.lock();
    }
  }

  const double seconds_;
  const std::function<void()> call_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;  // under mutex_
  std::thread thread_;
};

}  // namespace polymath::base
