#pragma once

// Finds blocks that already hold a prompt's beginning.
//
// A full block is known by a digest of its tokens and of everything before them:
//
//   digest[0] = H(seed, salt; tokens of block 0)      digest[i] = H(digest[i - 1]; tokens of block i)
//
// H is SHA-256 and the seed is random in each process, so that nobody can make two prompts meet, nor learn by
// guessing what another tenant (another salt) has asked. Blocks that are not full have no digest and are never shared.
//
// A digest names one block. The block is `pending` while a running sequence is computing it - whoever wants it should
// wait rather than compute it again - and `ready` after that. A ready block that nobody holds stays findable until
// BlockPool hands it out anew; then forget() is due.
//
// Thread safety: BlockHasher is for one thread at a time, any thread; PrefixCache belongs to the engine thread.
// Nothing is allocated after construction.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace polymath::kvcache {

using base::Digest;

// Computes digests; each thread that needs them has its own, from the cache's seed.
class BlockHasher {
 public:
  explicit BlockHasher(const Digest& seed) : seed_(seed) {}
  // The parent of block 0. KV depends on the LoRA adapter, so each has its own roots; -1: the base model.
  Digest root(std::string_view salt, int32_t adapter = -1);
  Digest next(const Digest& before, std::span<const int32_t> tokens);

 private:
  Digest seed_;
  base::Sha256 sha_;
};

class PrefixCache {
 public:
  explicit PrefixCache(int64_t n_blocks);  // REQUIRES: as BlockPool

  const Digest& seed() const { return seed_; }

  // The block of this digest, pending or ready; -1: none.
  int32_t find(const Digest& digest) const;
  bool known(int32_t block) const { return states_[block] != State::kUnknown; }
  bool ready(int32_t block) const { return states_[block] == State::kReady; }
  const Digest& digest(int32_t block) const { return digests_[block]; }  // REQUIRES: known(block)

  // Says that `block` holds (`ready`) or will hold (pending) these tokens. False: the digest already names another
  // block, which stays. REQUIRES: !known(block).
  bool add(const Digest& digest, int32_t block, bool ready);
  void set_ready(int32_t block);  // REQUIRES: known(block)
  void forget(int32_t block);     // an unknown block is nothing

  int64_t n_known() const { return n_known_; }

  // Dies unless every known block is found under its digest, and nothing else is. O(n_blocks); for tests.
  void check_invariants() const;

 private:
  enum class State : uint8_t { kUnknown, kPending, kReady, kCount };
  uint64_t home(const Digest& digest) const;
  uint64_t slot_of(const Digest& digest) const;  // where it is, or the empty slot where it would be

  Digest seed_;
  std::vector<Digest> digests_;  // [n_blocks]
  std::vector<State> states_;    // [n_blocks]
  std::vector<int32_t> slots_;   // open addressing, linear probing: blocks, -1: empty; at most half full
  uint64_t slot_mask_ = 0;
  int64_t n_known_ = 0;
};

}  // namespace polymath::kvcache
