#pragma once

// Counts the holders of each KV block. A block is held (count > 0) or free (count 0).
//
//   int32_t block = pool.allocate();   // count 1, or -1: none is free
//   pool.hold(block);                  // one holder more; a free block leaves the free list
//   pool.release(block, keep);         // one holder less; the last one frees it
//
// allocate() takes the first block of the free list. A block released with `keep` goes to its end. So cached prefixes
// (prefix_cache.h) are evicted in order of last use. A block released without goes to the front. Every operation is
// O(1); nothing is allocated after construction.
//
// Thread safety: none. The engine thread owns it.

#include <cstdint>
#include <vector>

namespace polymath::kvcache {

class BlockPool {
 public:
  static constexpr int64_t kBlocksMax = int64_t{1} << 30;  // beyond it the constructor dies; plan/ asks for fewer

  explicit BlockPool(int64_t n_blocks);  // REQUIRES: 1 <= n_blocks <= kBlocksMax

  int32_t allocate();
  void hold(int32_t block);
  void release(int32_t block, bool keep);

  int64_t n_blocks() const { return static_cast<int64_t>(holders_.size()); }
  int64_t n_free() const { return n_free_; }
  int holders(int32_t block) const { return holders_[block]; }

  // Dies unless the list has exactly the blocks without holders. O(n_blocks); for tests.
  void check_invariants() const;

 private:
  // The list is a ring through an extra entry at n_blocks, between the last free block and the first.
  void link_after(int32_t at, int32_t block);
  void unlink(int32_t block);
  int32_t ring() const { return static_cast<int32_t>(holders_.size()); }

  std::vector<int32_t> holders_;
  std::vector<int32_t> next_, previous_;  // [n_blocks + 1]; -1: not in the list
  int64_t n_free_ = 0;
};

}  // namespace polymath::kvcache
