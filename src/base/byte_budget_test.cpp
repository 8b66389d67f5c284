#include "base/byte_budget.h"

#include <gtest/gtest.h>

namespace polymath::base {
namespace {

TEST(ByteBudget, GrantsShareItAndReturnTheirBytes) {
  ByteBudget budget(100);
  {
    ByteGrant a(budget), b(budget);
    EXPECT_TRUE(a.grow_to(60));
    EXPECT_TRUE(a.grow_to(10)) << "holds more already";
    EXPECT_FALSE(b.grow_to(41));
    EXPECT_EQ(budget.used(), 60u);
    EXPECT_TRUE(b.grow_to(40));
    EXPECT_FALSE(a.grow_to(61));
    EXPECT_EQ(budget.used(), 100u);
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST(ByteBudget, KeepsBytesForOthers) {
  ByteBudget budget(100);
  EXPECT_FALSE(budget.take(91, /*kept=*/10));
  EXPECT_TRUE(budget.take(90, /*kept=*/10));
  EXPECT_FALSE(budget.take(1, /*kept=*/10));
  EXPECT_TRUE(budget.take(10));
  EXPECT_FALSE(budget.take(0, /*kept=*/1));
  EXPECT_FALSE(budget.take(~size_t{0}));
}

}  // namespace
}  // namespace polymath::base
