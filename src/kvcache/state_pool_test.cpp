#include "kvcache/state_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace polymath::kvcache {
namespace {

TEST(StatePool, LiveSlotsComeBeforeSnapshots) {
  StatePool pool(3, 2, 8);
  std::set<int32_t> live;
  for (int i = 0; i < 3; ++i) live.insert(pool.take_live());
  EXPECT_EQ(live, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(pool.take_live(), -1);
  EXPECT_EQ(pool.take_snapshot(5), 3);
  EXPECT_EQ(pool.n_slots(), 5);
  pool.give_live(1);
  EXPECT_EQ(pool.take_live(), 1);
  pool.check_invariants();
}

TEST(StatePool, EvictsTheLeastRecentlyUsedSnapshot) {
  StatePool pool(1, 2, 8);
  const int32_t a = pool.take_snapshot(4), b = pool.take_snapshot(5);
  pool.begin_step();
  pool.use(4);
  EXPECT_EQ(pool.take_snapshot(6), b);
  EXPECT_EQ(pool.snapshot_of(5), -1);
  EXPECT_EQ(pool.snapshot_of(4), a);
  pool.check_invariants();
}

TEST(StatePool, KeepsTheSnapshotsOfTheStep) {
  StatePool pool(1, 2, 8);
  pool.take_snapshot(4);
  pool.take_snapshot(5);
  EXPECT_EQ(pool.take_snapshot(6), -1);
  pool.drop(4);
  EXPECT_EQ(pool.take_snapshot(6), -1) << "its slot is written in this step";
  pool.begin_step();
  EXPECT_GE(pool.take_snapshot(6), 0);
  pool.check_invariants();
}

TEST(StatePool, DroppedSlotsAreReusedFirst) {
  StatePool pool(1, 3, 8);
  pool.take_snapshot(0);
  const int32_t second = pool.take_snapshot(1);
  pool.take_snapshot(2);
  pool.drop(1);
  pool.drop(7);  // has none
  pool.begin_step();
  EXPECT_EQ(pool.take_snapshot(3), second);
  EXPECT_EQ(pool.n_snapshots_used(), 3);
}

TEST(StatePool, MovesASnapshotUnlessTheOtherBlockHasOne) {
  StatePool pool(1, 2, 8);
  const int32_t slot = pool.take_snapshot(1);
  pool.move(1, 2);
  pool.move(3, 4);  // has none
  EXPECT_EQ(pool.snapshot_of(1), -1);
  EXPECT_EQ(pool.snapshot_of(2), slot);
  pool.take_snapshot(5);
  pool.move(5, 2);
  EXPECT_EQ(pool.snapshot_of(5), -1);
  EXPECT_EQ(pool.snapshot_of(2), slot);
  EXPECT_EQ(pool.n_snapshots_used(), 1);
  pool.check_invariants();
}

TEST(StatePool, WithoutSnapshotsThereAreNone) {
  StatePool pool(2, 0, 8);
  EXPECT_EQ(pool.take_snapshot(1), -1);
  EXPECT_EQ(pool.snapshot_of(1), -1);
  pool.drop(1);
  pool.move(1, 2);
  pool.check_invariants();
}

TEST(StatePool, RandomUseKeepsTheInvariants) {
  constexpr int kBlocks = 20;
  std::mt19937 random(5);
  StatePool pool(4, 7, kBlocks);
  std::set<int32_t> live;
  for (int step = 0; step < 20000; ++step) {
    const auto block = static_cast<int32_t>(random() % kBlocks), other = static_cast<int32_t>(random() % kBlocks);
    switch (random() % 6) {
      case 0:
        pool.begin_step();
        break;
      case 1:
        if (pool.snapshot_of(block) < 0) pool.take_snapshot(block);
        break;
      case 2:
        if (pool.snapshot_of(block) >= 0) pool.use(block);
        break;
      case 3:
        pool.drop(block);
        break;
      case 4:
        pool.move(block, other);
        break;
      default:
        if (live.size() == 4 || (!live.empty() && random() % 2 == 0)) {
          pool.give_live(*live.begin());
          live.erase(live.begin());
        } else {
          EXPECT_TRUE(live.insert(pool.take_live()).second);
        }
    }
    pool.check_invariants();
  }
}

TEST(StatePoolDeathTest, GivingAFreeSlotDies) {
  StatePool pool(2, 0, 1);
  EXPECT_DEATH(pool.give_live(0), "live_taken_");
}

}  // namespace
}  // namespace polymath::kvcache
