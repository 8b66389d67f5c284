#include "base/threads.h"

#include <sched.h>

#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "base/process/affinity.h"
#include "base/process/cpu_quota.h"
#include "base/process/thread_start.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define POLYMATH_PAUSE() _mm_pause()
#else
#define POLYMATH_PAUSE() std::this_thread::yield()
#endif

namespace polymath::base {
namespace {

void pin_to_core(int index) {
  const std::vector<int> cores = cores_of_mask();
  if (static_cast<size_t>(index) >= cores.size()) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cores[static_cast<size_t>(index)], &one);
  sched_setaffinity(0, sizeof(one), &one);
}

int cores_in_mask() { return std::max(1, static_cast<int>(cores_of_mask().size())); }

constexpr int kQuotaSpin = 20;             // microseconds between jobs under a quota, which spinning uses up
constexpr unsigned kSpinsALook = 64;       // between two looks at the clock
constexpr double kSpinSecondsMax = 50e-6;  // longer waits sleep: the peer has probably lost its core
constexpr double kSpinSecondsMin = 1e-6;

// Until done(value). Spins for a while, then sleeps until the value's changer notifies. A wait too long for spinning
// shortens the next spin of this thread: its core is shared then. A short one restores it.
template <typename T, typename Done>
void wait_until(const std::atomic<T>& value, bool may_spin, Done done) {
  thread_local double spin_seconds = kSpinSecondsMax;
  for (unsigned i = 0; may_spin && i < kSpinsALook; ++i) {
    if (done(value.load(std::memory_order_acquire))) return;
    POLYMATH_PAUSE();
  }
  const double begin = steady_seconds(), spin_end = begin + (may_spin ? spin_seconds : 0);
  for (unsigned i = 1; !done(value.load(std::memory_order_acquire)); ++i) {
    if (i % kSpinsALook == 0 && steady_seconds() > spin_end) break;
    if (!may_spin) break;
    POLYMATH_PAUSE();
  }
  for (T seen = value.load(std::memory_order_acquire); !done(seen); seen = value.load(std::memory_order_acquire)) {
    value.wait(seen, std::memory_order_acquire);
  }
  const bool short_wait = steady_seconds() - begin < kSpinSecondsMax;
  spin_seconds = short_wait ? kSpinSecondsMax : std::max(kSpinSecondsMin, spin_seconds / 2);
}

}  // namespace

int available_cores() {
  const int quota = quota_cores();
  return quota > 0 ? std::min(quota, cores_in_mask()) : cores_in_mask();
}

ThreadPool::ThreadPool(int n_threads, int spin_us)
    : n_threads_(n_threads),
      pins_(quota_cores() == 0 && n_threads <= cores_in_mask()),
      spins_(n_threads <= available_cores()),
      spin_us_(pins_ ? spin_us : std::min(spin_us, spins_ ? kQuotaSpin : 0)) {
  CHECK(n_threads >= 1);
  for (int rank = 1; rank < n_threads; ++rank) {
    threads_.push_back(start_thread("compute", [this, rank] { work(rank); }));
  }
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
  if (n_threads_ > 1) wait_until(running_, spins_, [](int running) { return running == 0; });
}

void ThreadPool::work(int rank) {
  if (pins_) pin_to_core(rank);
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
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

void ThreadPool::barrier() {
  if (n_threads_ == 1) return;
  const uint32_t now = barrier_epoch_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == n_threads_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    barrier_epoch_.fetch_add(1, std::memory_order_acq_rel);
    barrier_epoch_.notify_all();
    return;
  }
  wait_until(barrier_epoch_, spins_, [now](uint32_t epoch) { return epoch != now; });
}

}  // namespace polymath::base
