#pragma once

// Slots of recurrent state: who uses which, and which snapshot belongs to which KV block.
//
// A recurrent layer keeps one state a sequence, in a slot. Slots [0, n_live) are live: one for each running sequence,
// read and overwritten by every step. Slots [n_live, n_live + n_snapshots) are snapshots: the state at the end of a
// full KV block. A prefix can be resumed only where a snapshot exists.
//
//   int32_t slot = pool.take_live();            // -1: none is free
//   pool.begin_step();                          // once a step, before its snapshots
//   int32_t s = pool.take_snapshot(block);      // evicts the least recently used one; -1: none to be had
//   pool.use(block);                            // its snapshot is resumed from: now the most recently used
//   pool.drop(block);                           // the block holds something else now
//   pool.give_live(slot);
//
// A snapshot taken in a step is never evicted in the same step: no slot is written twice. One that is copied from may
// be: a step copies first and saves last (model::Batch).
//
// Every operation is O(1); nothing is allocated after construction. Thread safety: none. The engine thread owns it.

#include <cstdint>
#include <vector>

namespace polymath::kvcache {

// One copy of a state between slots. `from` -1: zeros.
struct StateCopy {
  int32_t from = -1;
  int32_t to = -1;
};

class StatePool {
 public:
  // REQUIRES: n_live >= 0, n_snapshots >= 0, n_blocks as BlockPool.
  StatePool(int n_live, int n_snapshots, int64_t n_blocks);

  int32_t take_live();
  void give_live(int32_t slot);  // REQUIRES: taken
  int n_live_free() const { return static_cast<int>(live_free_.size()); }

  void begin_step() { ++step_; }
  // The slot of the state at the end of `block`; -1: there is no snapshot.
  int32_t snapshot_of(int32_t block) const { return slot_of_.empty() ? -1 : slot_of_[block]; }
  int32_t take_snapshot(int32_t block);  // REQUIRES: the block has none
  void use(int32_t block);               // REQUIRES: the block has one
  void drop(int32_t block);              // no snapshot: does nothing
  // Two blocks hold the same tokens: `to` gets the snapshot of `from`, unless it has its own.
  void move(int32_t from, int32_t to);

  int n_slots() const { return n_live_ + n_snapshots_; }
  int n_snapshots_used() const { return n_used_; }

  // Dies unless every slot is in exactly one list and both directions of the map agree. O(slots + blocks); for tests.
  void check_invariants() const;

 private:
  int32_t ring() const { return n_snapshots_; }
  void link_after(int32_t at, int32_t snapshot);
  void unlink(int32_t snapshot);

  const int n_live_, n_snapshots_;
  std::vector<int32_t> live_free_;
  std::vector<uint8_t> live_taken_;  // [n_live]
  // Snapshots are numbered from 0. A ring through an extra entry has all of them: unused ones, then by last use.
  std::vector<int32_t> next_, previous_;  // [n_snapshots + 1]
  std::vector<int32_t> block_of_;         // [n_snapshots]; -1: unused
  std::vector<uint64_t> taken_at_;        // [n_snapshots]: step; 0: never
  std::vector<int32_t> slot_of_;          // [n_blocks]; -1: none. Empty without snapshots
  uint64_t step_ = 1;
  int n_used_ = 0;
};

}  // namespace polymath::kvcache
