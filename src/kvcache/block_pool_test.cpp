#include "kvcache/block_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace polymath::kvcache {
namespace {

TEST(BlockPool, HandsOutEveryBlockOnceAndThenNone) {
  BlockPool pool(5);
  std::set<int32_t> seen;
  for (int i = 0; i < 5; ++i) seen.insert(pool.allocate());
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_EQ(pool.n_free(), 0);
  EXPECT_EQ(pool.allocate(), -1);
  pool.check_invariants();
}

TEST(BlockPool, TheLastHolderFrees) {
  BlockPool pool(2);
  const int32_t block = pool.allocate();
  pool.hold(block);
  pool.release(block, false);
  EXPECT_EQ(pool.holders(block), 1);
  EXPECT_EQ(pool.n_free(), 1);
  pool.release(block, false);
  EXPECT_EQ(pool.n_free(), 2);
  pool.check_invariants();
}

TEST(BlockPool, KeptBlocksAreReusedLastInOrderOfRelease) {
  BlockPool pool(4);
  int32_t b[4];
  for (auto& block : b) block = pool.allocate();
  pool.release(b[2], true);
  pool.release(b[0], true);
  pool.release(b[3], false);  // remembers nothing: goes first
  pool.release(b[1], true);
  EXPECT_EQ(pool.allocate(), b[3]);
  EXPECT_EQ(pool.allocate(), b[2]);
  EXPECT_EQ(pool.allocate(), b[0]);
  EXPECT_EQ(pool.allocate(), b[1]);
}

TEST(BlockPool, AFreeBlockCanBeHeldAgain) {
  BlockPool pool(3);
  const int32_t block = pool.allocate();
  pool.release(block, true);
  pool.hold(block);
  EXPECT_EQ(pool.holders(block), 1);
  EXPECT_EQ(pool.n_free(), 2);
  pool.check_invariants();
}

TEST(BlockPool, RandomUseKeepsTheInvariants) {
  std::mt19937 random(7);
  BlockPool pool(37);
  std::vector<int32_t> held;
  for (int step = 0; step < 20000; ++step) {
    const int what = random() % 3;
    if (what == 0) {
      const int32_t block = pool.allocate();
      if (block >= 0) held.push_back(block);
      EXPECT_EQ(block < 0, pool.n_free() == 0 && block < 0);
    } else if (!held.empty()) {
      const size_t i = random() % held.size();
      if (what == 1 && held.size() < 100) {
        pool.hold(held[i]);
        held.push_back(held[i]);
      } else {
        pool.release(held[i], random() % 2);
        held[i] = held.back();
        held.pop_back();
      }
    }
    if (step % 64 == 0) pool.check_invariants();
  }
}

TEST(BlockPoolDeathTest, ReleasingAFreeBlockDies) {
  BlockPool pool(2);
  EXPECT_DEATH(pool.release(0, false), "holders_");
}

}  // namespace
}  // namespace polymath::kvcache
