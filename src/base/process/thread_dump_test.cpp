#include "base/process/thread_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/process/thread_start.h"

namespace polymath::base {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

TEST(ThreadDump, EveryThreadHasALineWithItsNameStateAndPlace) {
  prepare_thread_dump();
  std::mutex mutex;
  std::condition_variable wake;
  bool end = false;
  std::atomic<bool> spin{true}, spins{false};
  std::thread waiting = start_thread("waits", [&] {
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return end; });
  });
  std::thread running = start_thread("runs", [&] {
    while (spin) spins = true;
  });
  while (!spins) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (int i = 0; i < 3; ++i) {
    const auto lines = describe_threads();
    EXPECT_GE(lines.size(), 3u);  // a sanitizer may have a thread of its own
    EXPECT_THAT(lines, Contains(AllOf(HasSubstr(" waits: state S"), HasSubstr("base_test+0x"))));
    EXPECT_THAT(lines, Contains(AllOf(HasSubstr(" runs: state R"), HasSubstr("base_test+0x"))));
  }
  spin = false;
  {
    const std::lock_guard lock(mutex);
    end = true;
  }
  wake.notify_all();
  waiting.join();
  running.join();
}

TEST(ThreadStartDeathTest, NoMemoryEndsTheProcessWithALine) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto die = [] { start_thread("eater", [] { throw std::bad_alloc(); }).join(); };
  EXPECT_EXIT(die(), testing::ExitedWithCode(kExitFatal), "error   eater: no memory is left");
}

}  // namespace
}  // namespace polymath::base
