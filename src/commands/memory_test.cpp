#include "commands/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace polymath::commands {
namespace {

TEST(Memory, IsPositiveAndAtMostTheMachines) {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  EXPECT_GT(available_memory(), 0);
  EXPECT_LE(available_memory(), machine);
}

}  // namespace
}  // namespace polymath::commands
