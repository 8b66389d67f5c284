#include "kvcache/state_pool.h"

#include "base/check.h"
#include "kvcache/block_pool.h"

namespace polymath::kvcache {

StatePool::StatePool(int n_live, int n_snapshots, int64_t n_blocks) : n_live_(n_live), n_snapshots_(n_snapshots) {
  CHECK(n_live >= 0 && n_snapshots >= 0 && n_blocks >= 1 && n_blocks <= BlockPool::kBlocksMax);
  live_taken_.assign(n_live, 0);
  live_free_.reserve(n_live);
  for (int32_t slot = n_live; slot-- > 0;) live_free_.push_back(slot);
  block_of_.assign(n_snapshots, -1);
  taken_at_.assign(n_snapshots, 0);
  next_.assign(n_snapshots + 1, ring());
  previous_.assign(n_snapshots + 1, ring());
  for (int32_t snapshot = 0; snapshot < n_snapshots; ++snapshot) link_after(previous_[ring()], snapshot);
  if (n_snapshots > 0) slot_of_.assign(n_blocks, -1);
}

int32_t StatePool::take_live() {
  if (live_free_.empty()) return -1;
  const int32_t slot = live_free_.back();
  live_free_.pop_back();
  live_taken_[slot] = 1;
  return slot;
}

void StatePool::give_live(int32_t slot) {
  CHECK(slot >= 0 && slot < n_live_ && live_taken_[slot] == 1);
  live_taken_[slot] = 0;
  live_free_.push_back(slot);
}

void StatePool::link_after(int32_t at, int32_t snapshot) {
  next_[snapshot] = next_[at];
  previous_[snapshot] = at;
  previous_[next_[at]] = snapshot;
  next_[at] = snapshot;
}

void StatePool::unlink(int32_t snapshot) {
  next_[previous_[snapshot]] = next_[snapshot];
  previous_[next_[snapshot]] = previous_[snapshot];
}

int32_t StatePool::take_snapshot(int32_t block) {
  if (n_snapshots_ == 0) return -1;
  CHECK(slot_of_[block] == -1);
  const int32_t snapshot = next_[ring()];
  if (taken_at_[snapshot] == step_) return -1;  // the others were taken or resumed from in this step, too
  if (block_of_[snapshot] >= 0) drop(block_of_[snapshot]);
  unlink(snapshot);
  link_after(previous_[ring()], snapshot);
  block_of_[snapshot] = block;
  taken_at_[snapshot] = step_;
  slot_of_[block] = n_live_ + snapshot;
  ++n_used_;
  return slot_of_[block];
}

void StatePool::use(int32_t block) {
  CHECK(snapshot_of(block) >= 0);
  const int32_t snapshot = slot_of_[block] - n_live_;
  unlink(snapshot);
  link_after(previous_[ring()], snapshot);
}

void StatePool::drop(int32_t block) {
  if (snapshot_of(block) < 0) return;
  const int32_t snapshot = slot_of_[block] - n_live_;
  slot_of_[block] = block_of_[snapshot] = -1;
  unlink(snapshot);
  link_after(ring(), snapshot);
  --n_used_;
}

void StatePool::move(int32_t from, int32_t to) {
  if (from == to || snapshot_of(from) < 0) return;
  if (snapshot_of(to) >= 0) return drop(from);
  slot_of_[to] = slot_of_[from];
  slot_of_[from] = -1;
  block_of_[slot_of_[to] - n_live_] = to;
}

void StatePool::check_invariants() const {
  int seen = 0, used = 0;
  bool used_before = false;
  for (int32_t s = next_[ring()]; s != ring(); s = next_[s]) {
    CHECK(previous_[next_[s]] == s && ++seen <= n_snapshots_);
    const bool is_used = block_of_[s] >= 0;
    CHECK(is_used || !used_before);  // unused ones come first
    used_before = is_used;
    used += is_used;
    if (is_used) CHECK(slot_of_[block_of_[s]] == n_live_ + s);
  }
  CHECK(seen == n_snapshots_ && used == n_used_);
  int mapped = 0, taken = 0;
  for (const int32_t slot : slot_of_) mapped += slot >= 0;
  CHECK(mapped == n_used_);
  for (const uint8_t t : live_taken_) taken += t;
  CHECK(taken + n_live_free() == n_live_);
  for (const int32_t slot : live_free_) CHECK(live_taken_[slot] == 0);
}

}  // namespace polymath::kvcache
