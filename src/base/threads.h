#pragma once

// A fork-join thread pool for the CPU backend.
//
//   pool.run([&](int rank) { ... });            // every rank runs it once; returns when all have
//   pool.parallel_for(n, [&](int64_t i) {...}); // items are handed out one by one, in order
//
// Workers are pinned to the cores this process may use. Not under a CPU quota: any core may be shared then. Between
// jobs they spin for spin_us, then sleep. A job in a busy step starts in about a microsecond; an idle server uses no
// CPU. Within a job they spin briefly, then sleep; with more threads than cores they sleep at once.
//
// Thread safety: one caller at a time; the caller is rank 0. run() must not be nested.
// After construction nothing is allocated (the callable is passed by reference).

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace polymath::base {

// Cores in this process's affinity mask, or what its CPU quota amounts to if that is less. At least 1.
int available_cores();

class ThreadPool {
 public:
  explicit ThreadPool(int n_threads, int spin_us = 200);  // n_threads >= 1, the caller counted in
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return n_threads_; }

  template <typename F>
  void run(F&& f) {
    using Fn = std::remove_reference_t<F>;
    run_erased([](void* context, int rank) { (*static_cast<Fn*>(context))(rank); },
               const_cast<void*>(static_cast<const void*>(std::addressof(f))));
  }

  template <typename F>
  void parallel_for(int64_t n, F&& f) {
    if (n <= 0) return;
    next_.store(0, std::memory_order_relaxed);
    run([&](int) {
      for (int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < n;
           i = next_.fetch_add(1, std::memory_order_relaxed)) {
        f(i);
      }
    });
  }

  // Within run(): all ranks meet here.
  void barrier();

 private:
  void run_erased(void (*invoke)(void*, int), void* context);
  void work(int rank);

  const int n_threads_;
  const bool pins_;   // a worker to a core
  const bool spins_;  // each thread has a core
  const int spin_us_;
  std::vector<std::thread> threads_;
  void (*invoke_)(void*, int) = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint64_t> epoch_{0};
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> barrier_epoch_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace polymath::base
