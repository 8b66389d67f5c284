#include "base/threads.h"

#include <sched.h>

#include "base/check.h"
#include "base/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define POLYMATH_PAUSE() _mm_pause()
#else
#define POLYMATH_PAUSE() std::this_thread::yield()
#endif

namespace polymath::base {
namespace {

// After this many spins the peer has probably lost its core: yield ours.
constexpr int kSpinsBeforeYield = 4096;

void pin_to_core(int index) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  int seen = 0;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed) || seen++ != index) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof(one), &one);
    return;
  }
}

template <typename Done>
void spin_until(Done done) {
  for (int spins = 0; !done();) {
    if (spins < kSpinsBeforeYield) {
      ++spins;
      POLYMATH_PAUSE();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace

int available_cores() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  const int n = CPU_COUNT(&allowed);
  return n < 1 ? 1 : n;
}

ThreadPool::ThreadPool(int n_threads, int spin_us) : n_threads_(n_threads), spin_us_(spin_us) {
  CHECK(n_threads >= 1);
  for (int rank = 1; rank < n_threads; ++rank) threads_.emplace_back([this, rank] { work(rank); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
    epoch_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& t : threads_) t.join();
}

void ThreadPool::run_erased(void (*invoke)(void*, int), void* context) {
  if (n_threads_ > 1) {
    invoke_ = invoke;
    context_ = context;
    running_.store(n_threads_ - 1, std::memory_order_relaxed);
    epoch_.fetch_add(1);  // sequentially consistent: pairs with the sleeper's check below
    if (sleepers_.load() > 0) {
      const std::lock_guard lock(mutex_);
      wake_.notify_all();
    }
  }
  invoke(context, 0);
  spin_until([&] { return running_.load(std::memory_order_acquire) == 0 || n_threads_ == 1; });
}

void ThreadPool::work(int rank) {
  pin_to_core(rank);
  uint64_t seen = 0;
  while (true) {
    const double deadline = steady_seconds() + spin_us_ * 1e-6;
    for (unsigned spins = 0; epoch_.load(std::memory_order_acquire) == seen; ++spins) {
      POLYMATH_PAUSE();
      if ((spins & 63) != 63 || steady_seconds() < deadline) continue;
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return epoch_.load() != seen; });
      sleepers_.fetch_sub(1);
    }
    ++seen;
    if (stop_.load()) return;
    invoke_(context_, rank);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::barrier() {
  if (n_threads_ == 1) return;
  const uint32_t now = barrier_epoch_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == n_threads_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    barrier_epoch_.fetch_add(1, std::memory_order_release);
    return;
  }
  spin_until([&] { return barrier_epoch_.load(std::memory_order_acquire) != now; });
}

}  // namespace polymath::base
