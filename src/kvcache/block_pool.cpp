#include "kvcache/block_pool.h"

#include "base/check.h"

namespace polymath::kvcache {

BlockPool::BlockPool(int64_t n_blocks) {
  CHECK(n_blocks >= 1 && n_blocks <= kBlocksMax);
  holders_.assign(n_blocks, 0);
  next_.assign(n_blocks + 1, -1);
  previous_.assign(n_blocks + 1, -1);
  next_[ring()] = previous_[ring()] = ring();
  for (int32_t block = 0; block < n_blocks; ++block) link_after(previous_[ring()], block);
}

void BlockPool::link_after(int32_t at, int32_t block) {
  CHECK(next_[block] == -1);
  next_[block] = next_[at];
  previous_[block] = at;
  previous_[next_[at]] = block;
  next_[at] = block;
  ++n_free_;
}

void BlockPool::unlink(int32_t block) {
  CHECK(next_[block] != -1);
  next_[previous_[block]] = next_[block];
  previous_[next_[block]] = previous_[block];
  next_[block] = previous_[block] = -1;
  --n_free_;
}

int32_t BlockPool::allocate() {
  const int32_t block = next_[ring()];
  if (block == ring()) return -1;
  unlink(block);
  holders_[block] = 1;
  return block;
}

void BlockPool::hold(int32_t block) {
  if (holders_[block] == 0) unlink(block);
  ++holders_[block];
}

void BlockPool::release(int32_t block, bool keep) {
  CHECK(holders_[block] > 0);
  if (--holders_[block] == 0) link_after(keep ? previous_[ring()] : ring(), block);
}

void BlockPool::check_invariants() const {
  int64_t seen = 0;
  for (int32_t block = next_[ring()]; block != ring(); block = next_[block]) {
    CHECK(holders_[block] == 0);
    CHECK(previous_[next_[block]] == block);
    CHECK(++seen <= n_free_);
  }
  CHECK(seen == n_free_);
  for (int32_t block = 0; block < ring(); ++block) {
    CHECK(holders_[block] >= 0);
    CHECK((holders_[block] == 0) == (next_[block] != -1));
  }
}

}  // namespace polymath::kvcache
