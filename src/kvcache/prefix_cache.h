#pragma once

// Finds blocks that already hold the beginning of a prompt.
//
// A full block is named by a digest of its tokens and of all before them:
//
//   digest[0] = H(seed, adapter, salt; tokens of block 0)      digest[i] = H(digest[i - 1]; tokens of block i)
//
// H is SHA-256, and the seed is random in each process. So no client can make two prompts collide, or guess what
// another tenant (another salt) has asked. A block that is not full has no digest and is never shared.
//
// A digest names one block. It is `pending` while a running sequence computes it: others should wait for it. Then it is
// `ready`. A ready block without holders stays findable until BlockPool allocates it again; then forget() is due.
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

// Computes digests from the cache's seed; one for each thread.
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

  // Names `block`, which holds these tokens (`ready`) or will (pending). False: another block has this name, and keeps
  // it. REQUIRES: !known(block).
  bool add(const Digest& digest, int32_t block, bool ready);
  void set_ready(int32_t block);  // REQUIRES: known(block)
  void forget(int32_t block);     // an unknown block: does nothing

  int64_t n_known() const { return n_known_; }

  // Dies unless the table finds exactly the known blocks. O(n_blocks); for tests.
  void check_invariants() const;

 private:
  enum class State : uint8_t { kUnknown, kPending, kReady, kCount };
  uint64_t home(const Digest& digest) const;
  uint64_t slot_of(const Digest& digest) const;  // its slot, or the empty one where it belongs

  Digest seed_;
  std::vector<Digest> digests_;  // [n_blocks]
  std::vector<State> states_;    // [n_blocks]
  std::vector<int32_t> slots_;   // open addressing, linear probing: blocks, -1: empty; at most half full
  uint64_t slot_mask_ = 0;
  int64_t n_known_ = 0;
};

}  // namespace polymath::kvcache
