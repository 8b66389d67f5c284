#pragma once

// The threads of the CPU backend, and how they share work. Each thread walks its own run of neighbouring tasks, so it
// reads memory in one stream. A thread that is done steals from the end of the longest run left.
//
// Nothing is allocated after construction. Thread safety: as ThreadPool's.

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/threads.h"

namespace polymath::backend::cpu {

// Tasks [0, n), n < 2^32.
class TaskRuns {
 public:
  explicit TaskRuns(int threads_max) : runs_(new Run[threads_max]) {}

  // Call it before the threads start, or while a barrier keeps them out of work().
  void reset(int64_t n, int threads) {
    threads_ = threads;
    for (int rank = 0; rank < threads_; ++rank) {
      const auto begin = static_cast<uint64_t>(n * rank / threads_),
                 end = static_cast<uint64_t>(n * (rank + 1) / threads_);
      runs_[rank].bounds.store(end << 32 | begin, std::memory_order_relaxed);
    }
  }

  // f(task, next): `next` is this thread's most likely next task, or -1.
  template <typename F>
  void work(int rank, F&& f) {
    for (int64_t task = 0, next = 0; (task = take(rank, next)) >= 0;) f(task, next);
    while (true) {
      const int victim = longest();
      if (victim < 0) return;
      const int64_t task = steal(victim);
      if (task >= 0) f(task, int64_t{-1});
    }
  }

 private:
  struct alignas(64) Run {
    std::atomic<uint64_t> bounds{0};  // end << 32 | begin
  };
  static uint32_t begin_of(uint64_t bounds) { return static_cast<uint32_t>(bounds); }
  static uint32_t end_of(uint64_t bounds) { return static_cast<uint32_t>(bounds >> 32); }

  int64_t take(int rank, int64_t& next) {
    auto& bounds = runs_[rank].bounds;
    uint64_t seen = bounds.load(std::memory_order_relaxed);
    while (begin_of(seen) < end_of(seen)) {
      if (!bounds.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed)) continue;
      next = begin_of(seen) + 1 < end_of(seen) ? int64_t{begin_of(seen)} + 1 : -1;
      return begin_of(seen);
    }
    return -1;
  }
  int64_t steal(int victim) {
    auto& bounds = runs_[victim].bounds;
    uint64_t seen = bounds.load(std::memory_order_relaxed);
    while (begin_of(seen) < end_of(seen)) {
      if (bounds.compare_exchange_weak(seen, seen - (uint64_t{1} << 32), std::memory_order_relaxed))
        return end_of(seen) - 1;
    }
    return -1;
  }
  int longest() const {
    int best = -1;
    uint32_t most = 0;
    for (int rank = 0; rank < threads_; ++rank) {
      const uint64_t seen = runs_[rank].bounds.load(std::memory_order_relaxed);
      const uint32_t left = begin_of(seen) < end_of(seen) ? end_of(seen) - begin_of(seen) : 0;
      if (left > most) {
        most = left;
        best = rank;
      }
    }
    return best;
  }

  int threads_ = 0;
  std::unique_ptr<Run[]> runs_;
};

class Team {
 public:
  explicit Team(int threads) : pool_(threads), first_(threads), second_(threads) {}

  int size() const { return pool_.size(); }
  base::ThreadPool& pool() { return pool_; }

  // f(rank, threads) on all threads. Without `parallel` the caller runs it alone, because small work is not worth
  // waking the others.
  template <typename F>
  void run(bool parallel, F&& f) {
    if (!parallel || pool_.size() == 1) return f(0, 1);
    pool_.run([&](int rank) { f(rank, pool_.size()); });
  }
  void barrier(int threads) {
    if (threads > 1) pool_.barrier();
  }

  // The tasks of a run() with the same `parallel`. Make them before it. A run may have two phases.
  TaskRuns& tasks(bool parallel, int64_t n) { return reset(first_, parallel, n); }
  TaskRuns& more_tasks(bool parallel, int64_t n) { return reset(second_, parallel, n); }

  // f(i) for i in [0, n), spread over the threads if `parallel`.
  template <typename F>
  void for_each(bool parallel, int64_t n, F&& f) {
    if (!parallel || pool_.size() == 1) {
      for (int64_t i = 0; i < n; ++i) f(i);
      return;
    }
    TaskRuns& runs = tasks(true, n);
    run(true, [&](int rank, int) { runs.work(rank, [&](int64_t i, int64_t) { f(i); }); });
  }

 private:
  TaskRuns& reset(TaskRuns& runs, bool parallel, int64_t n) {
    runs.reset(n, parallel ? pool_.size() : 1);
    return runs;
  }

  base::ThreadPool pool_;
  TaskRuns first_, second_;
};

}  // namespace polymath::backend::cpu
