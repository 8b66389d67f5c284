#pragma once

// The tiles of prompts' kernels on wgmma. Their blocks are persistent: each takes tile after tile, until none is left.

#include "backend/cuda/attention/tile_ends.cuh"

namespace polymath::backend::cuda {

// A tile and the keys that its rows see, from the start of a copied run on.
struct PromptWork {
  Tile tile;  // seq -1: there are no more
  KeyRange keys;
  __device__ __forceinline__ int runs(int run_keys) const { return (keys.end - keys.begin + run_keys - 1) / run_keys; }
};

// All tiles of the step, longest first in a sequence. Blocks take them one by one.
class PromptTiles {
 public:
  __device__ __forceinline__ PromptTiles(const TileShape& s, int keys_at_once) : s_(s), keys_at_once_(keys_at_once) {
    int sum = 0;
    for (int seq = threadIdx.x % kWarp; seq < s.p.n_seqs; seq += kWarp) sum += work_of(s, seq).tiles;
    tiles_ = warp_sum(sum);
  }
  __device__ __forceinline__ PromptWork find(int index) const {
    const int across = s_.p.kv.n_kv_heads * s_.head_tiles, nth = tiles_ - 1 - index / across;
    if (nth < 0) return {make_tile(s_, -1, 0), {0, 0}};
    const Piece found = find_piece(nth, s_.p.n_seqs, [&](int seq) { return work_of(s_, seq).tiles; });
    PromptWork work{make_tile(s_, found.item, index % across), {0, 0}};
    take_queries(s_, found.piece, work.tile);
    work.keys = keys_of_tile(s_, work.tile);
    work.keys.begin = work.keys.begin / keys_at_once_ * keys_at_once_;
    return work;
  }

 private:
  const TileShape& s_;
  int keys_at_once_, tiles_;
};

// By one warp: hands tile after tile to `send`, the last one with seq -1. counters[0]: tiles taken after each block's
// first; [1]: blocks that have ended. `keys_at_once`: contiguous keys of a copy.
template <typename Send>
__device__ __forceinline__ void take_tiles(const TileShape& s, int keys_at_once, Send send) {
  const bool one = threadIdx.x % kWarp == 0;
  const PromptTiles tiles(s, keys_at_once);
  PromptWork work = tiles.find(static_cast<int>(blockIdx.x));
  while (work.tile.seq >= 0) {
    const unsigned taken = one ? atomicAdd(s.p.counters, 1u) : 0;  // in flight beside the copies
    send(work);
    work = tiles.find(static_cast<int>(gridDim.x + __shfl_sync(kAllLanes, taken, 0)));
  }
  send(work);
  if (!one) return;
  __threadfence();
  if (atomicInc(s.p.counters + 1, gridDim.x - 1) == gridDim.x - 1) atomicExch(s.p.counters, 0u);
}

// A lane's copy of keys: from an eight of a block on. Block -1: none.
struct KeyCopy {
  int block, eight;
};
__device__ __forceinline__ KeyCopy find_copy(const TileShape& s, const PromptWork& work, int key, int table_cols) {
  if (key >= work.keys.end) return {-1, 0};
  const int page = key / kPage, nth = static_cast<int>(static_cast<uint64_t>(page) * s.pages_part >> 32);
  const int eight = page - nth * (s.p.kv.block_size / kPage);
  if (s.p.first_blocks != nullptr) return {s.p.first_blocks[work.tile.seq] + nth, eight};
  return {s.p.block_table[static_cast<int64_t>(work.tile.seq) * table_cols + nth], eight};
}

}  // namespace polymath::backend::cuda
