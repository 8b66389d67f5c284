#include "base/threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <numeric>

#include "base/clock.h"

namespace polymath::base {
namespace {

#ifdef POLYMATH_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

TEST(ThreadPool, EveryRankRunsOnceAJob) {
  for (const int n : {1, 2, 3, 5}) {
    ThreadPool pool(n);
    EXPECT_EQ(n, pool.size());
    std::vector<int> runs(n);  // each rank its own element, and run() orders all of it
    for (int job = 0; job < 100; ++job) pool.run([&](int rank) { ++runs[rank]; });
    EXPECT_EQ(std::vector<int>(n, 100), runs);
  }
}

TEST(ThreadPool, ParallelForCoversEachItemOnce) {
  ThreadPool pool(4);
  for (const int64_t n : {0, 1, 3, 4, 1000}) {
    std::vector<int> seen(n);
    pool.parallel_for(n, [&](int64_t i) { ++seen[i]; });
    EXPECT_EQ(std::vector<int>(n, 1), seen);
  }
  pool.parallel_for(-1, [](int64_t) { FAIL(); });
}

TEST(ThreadPool, SleepersWake) {
  ThreadPool pool(3, 0);  // asleep as soon as a job is done
  for (int job = 0; job < 200; ++job) {
    int sum[3] = {};
    pool.run([&](int rank) { sum[rank] = rank + job; });
    EXPECT_EQ(3 + 3 * job, sum[0] + sum[1] + sum[2]);
    if (job % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST(ThreadPool, BarrierSeparatesPhases) {
  for (const int n : {1, 2, 3}) {
    ThreadPool pool(n);
    std::vector<int> value(n), sums(n);
    const auto phases = [&](int rank) {
      for (int phase = 0; phase < 10; ++phase) {
        value[rank] = phase + rank;
        pool.barrier();
        sums[rank] = std::accumulate(value.begin(), value.end(), 0);
        pool.barrier();
      }
    };
    for (int job = 0; job < 5; ++job) {
      pool.run(phases);
      EXPECT_EQ(std::vector<int>(n, 9 * n + n * (n - 1) / 2), sums);
    }
  }
}

// Spinning threads would wait for whole time slices of each other.
TEST(ThreadPool, MoreThreadsThanCoresGiveWay) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(available_cores(), 1);
  const double begin = steady_seconds();
  {
    ThreadPool pool(8);
    for (int job = 0; job < 50; ++job) {
      pool.run([&](int) {
        for (int i = 0; i < 4; ++i) pool.barrier();
      });
    }
  }
  const double seconds = steady_seconds() - begin;
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_LT(seconds, kSanitized ? 20 : 2) << "200 barriers of 8 threads on one core; 0.02 s on a quiet machine";
}

TEST(ThreadPool, ComesAndGoesIdle) {
  for (int i = 0; i < 20; ++i) ThreadPool pool(1 + i % 4, i % 2 * 100);
  ThreadPool idle(2, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST(ThreadPool, ConstCallables) {
  ThreadPool pool(2);
  std::atomic<int> n{0};
  const auto job = [&](int) { ++n; };
  pool.run(job);
  EXPECT_EQ(2, n.load());
}

TEST(ThreadPool, CoresAreCounted) { EXPECT_GE(available_cores(), 1); }

}  // namespace
}  // namespace polymath::base
