#include "kvcache/prefix_cache.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "kvcache/block_pool.h"

namespace polymath::kvcache {

Digest BlockHasher::root(std::string_view salt, int32_t adapter) {
  sha_.update(seed_.data(), seed_.size());
  sha_.update(&adapter, sizeof adapter);
  sha_.update(salt.data(), salt.size());
  return sha_.finish();
}

Digest BlockHasher::next(const Digest& before, std::span<const int32_t> tokens) {
  sha_.update(before.data(), before.size());
  sha_.update(tokens.data(), tokens.size_bytes());
  return sha_.finish();
}

PrefixCache::PrefixCache(int64_t n_blocks) {
  CHECK(n_blocks >= 1 && n_blocks <= BlockPool::kBlocksMax);
  base::random_bytes(seed_.data(), seed_.size());
  digests_.resize(n_blocks);
  states_.assign(n_blocks, State::kUnknown);
  slots_.assign(std::bit_ceil(static_cast<uint64_t>(n_blocks) * 2), -1);
  slot_mask_ = slots_.size() - 1;
}

// A digest is uniform: its first bytes are the hash.
uint64_t PrefixCache::home(const Digest& digest) const {
  uint64_t hash;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash & slot_mask_;
}

uint64_t PrefixCache::slot_of(const Digest& digest) const {
  uint64_t slot = home(digest);
  while (slots_[slot] != -1 && digests_[slots_[slot]] != digest) slot = (slot + 1) & slot_mask_;
  return slot;
}

int32_t PrefixCache::find(const Digest& digest) const { return slots_[slot_of(digest)]; }

bool PrefixCache::add(const Digest& digest, int32_t block, bool ready) {
  CHECK(!known(block));
  const uint64_t slot = slot_of(digest);
  if (slots_[slot] != -1) return false;
  slots_[slot] = block;
  digests_[block] = digest;
  states_[block] = ready ? State::kReady : State::kPending;
  ++n_known_;
  return true;
}

void PrefixCache::set_ready(int32_t block) {
  CHECK(known(block));
  states_[block] = State::kReady;
}

// Removes the entry and moves later entries of its run back, so that no search meets a hole.
void PrefixCache::forget(int32_t block) {
  if (!known(block)) return;
  uint64_t hole = slot_of(digests_[block]);
  CHECK(slots_[hole] == block);
  for (uint64_t at = (hole + 1) & slot_mask_; slots_[at] != -1; at = (at + 1) & slot_mask_) {
    const uint64_t from_home = (at - home(digests_[slots_[at]])) & slot_mask_;
    const uint64_t from_hole = (at - hole) & slot_mask_;
    if (from_home < from_hole) continue;  // its home is after the hole
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = -1;
  states_[block] = State::kUnknown;
  --n_known_;
}

void PrefixCache::check_invariants() const {
  int64_t known_blocks = 0, filled = 0;
  for (int32_t block = 0; block < static_cast<int32_t>(states_.size()); ++block) {
    if (!known(block)) continue;
    ++known_blocks;
    CHECK(find(digests_[block]) == block);
  }
  for (const int32_t block : slots_) filled += block != -1;
  CHECK(known_blocks == n_known_);
  CHECK(filled == n_known_);
}

}  // namespace polymath::kvcache
