#pragma once

// Shared memory of paged_attention_wgmma.cu, and the warp that fills it.
//
// A tile is 128 query rows, 64 of each warpgroup, over runs of 128 keys. A stage has a warpgroup's queries as they
// come, or the keys of a run, or its values. The order: both warpgroups' queries, keys 0, keys 1, values 0, keys 2,
// values 1 and so on.

#include "backend/cuda/attention/prompt_rows.cuh"
#include "backend/cuda/attention/prompt_tiles.cuh"
#include "backend/cuda/pipeline.cuh"

namespace polymath::backend::cuda {

constexpr int kTileKeys = 128;
constexpr int kScores = kTileKeys / 2;  // of a thread

template <int kDim_>
struct PromptConfig {
  static constexpr int kDim = kDim_;
  static constexpr int kGroups = 2;  // two warpgroups multiply; a third one copies
  static constexpr int kTileRows = kGroups * kGroupRows;
  static constexpr int kBlockThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kEightBytes = kDim * 8 * 2;  // eight rows of an operand of wgmma
  static constexpr int kRowsBytes = kGroupRows / 8 * kEightBytes;
  static constexpr int kStageBytes = kTileKeys / 8 * kEightBytes;
  static constexpr int kStages = kDim == 64 ? 8 : 6;
  static constexpr size_t kSharedBytes = kGroups * kRowsBytes + kStages * kStageBytes + 1024;  // to be aligned
  static_assert(kStageBytes == kGroupRows * kDim * 4, "a stage has a warpgroup's queries in f32");
  static_assert(kSharedBytes <= 226 * 1024);

  // Byte offset of a 16-byte word of a row of an operand. Eight rows of 64 elements are 1024 bytes in the 128-byte
  // swizzle. Their next 64 elements follow, then the next eight rows.
  __host__ __device__ static constexpr int offset(int row, int word) {
    return row / 8 * kEightBytes + word / 8 * 1024 + row % 8 * 128 + ((word % 8) ^ (row % 8)) * 16;
  }
};

// The cache as TMA sees it. Axes: 64 elements, 8 keys, halves of a row, eights of a block's keys, a block's heads.
struct PromptCache {
  CUtensorMap map;
  int keys;  // of one copy: they are contiguous; a power of two from 8 to 128
};

// The copying warp. Every method is called by all of its lanes.
template <typename C>
class PromptCopies {
 public:
  __device__ __forceinline__ PromptCopies(const TileShape& s, const PromptCache& cache, Pipeline<C> pipeline)
      : s_(s),
        cache_(cache),
        pipeline_(pipeline),
        lane_(threadIdx.x % kWarp),
        table_cols_(static_cast<int>(table_cols_of(s.p))) {}

  // `works`: of each stage; the tile's is put beside its first queries.
  __device__ __forceinline__ void queries(const PromptWork& work, PromptWork* works) {
    const bool none = work.tile.seq < 0;
#pragma unroll 1
    for (int group = 0; group < (none ? 1 : C::kGroups); ++group) {
      pipeline_.wait_empty();
      const int first = group * kGroupRows, rows = (work.tile.token_end - work.tile.token) * s_.heads;
      const int end = none ? 0 : min(rows, first + kGroupRows);
      if (lane_ == 0) {
        if (group == 0) works[pipeline_.next.stage] = work;
        barrier_expect(full(), static_cast<uint32_t>(max(end - first, 0) * row_bytes()));
      }
      __syncwarp();
      if (end > first) copy_rows(work.tile, first, end);
      pipeline_.advance();
    }
  }

  __device__ __forceinline__ void keys_and_values(const PromptWork& work) {
    const int runs = work.runs(kTileKeys);
    KeyCopy before{-1, 0}, now = look_up(work, 0);
#pragma unroll 1
    for (int i = 0; i <= runs && runs > 0; ++i) {
      const KeyCopy next = look_up(work, i + 1);  // in flight while this run's stages become empty
      if (i < runs) copy_run(now, work.tile.kv_head);
      if (i > 0) copy_run(before, work.tile.kv_head + s_.p.kv.n_kv_heads);
      before = now;
      now = next;
    }
  }

 private:
  __device__ __forceinline__ uint64_t* full() { return &pipeline_.ring.full[pipeline_.next.stage]; }
  __device__ __forceinline__ int row_bytes() const { return C::kDim * (s_.p.q.type == Type::kF32 ? 4 : 2); }

  // Rows [first, end) of the tile. A token's heads are contiguous: a copy each.
  __device__ __forceinline__ void copy_rows(const Tile& tile, int first, int end) {
    const auto* const from = static_cast<const uint8_t*>(s_.p.q.data);
    const int64_t token_bytes = s_.p.q.stride * (s_.p.q.type == Type::kF32 ? 4 : 2);
#pragma unroll 1
    for (int token = first / s_.heads + lane_; token * s_.heads < end; token += kWarp) {
      const int row = max(token * s_.heads, first), rows = min((token + 1) * s_.heads, end) - row;
      const int64_t head = tile.kv_head * s_.group + tile.head_begin + row - token * s_.heads;
      copy_bulk(pipeline_.stage() + (row - first) * row_bytes(),
                from + (tile.token + token) * token_bytes + head * row_bytes(),
                static_cast<uint32_t>(rows * row_bytes()), full(), read_once());
    }
  }

  __device__ __forceinline__ KeyCopy look_up(const PromptWork& work, int run) const {
    const int key = lane_ * cache_.keys;
    if (key >= kTileKeys) return {-1, 0};
    return find_copy(s_, work, work.keys.begin + run * kTileKeys + key, table_cols_);
  }

  // `head`: among a block's keys and values.
  __device__ __forceinline__ void copy_run(const KeyCopy& run, int head) {
    const int bytes = cache_.keys / 8 * C::kEightBytes;
    pipeline_.wait_empty();
    const int copies = __popc(__ballot_sync(kAllLanes, run.block >= 0));
    if (lane_ == 0) barrier_expect(full(), static_cast<uint32_t>(copies * bytes));
    __syncwarp();
    if (run.block >= 0) {
      copy_tensor_5d(pipeline_.stage() + lane_ * bytes, &cache_.map, full(), 0, 0, 0, run.eight,
                     run.block * 2 * s_.p.kv.n_kv_heads + head);
    }
    pipeline_.advance();
  }

  const TileShape& s_;
  const PromptCache& cache_;
  Pipeline<C> pipeline_;
  const int lane_;
  const int table_cols_;
};

}  // namespace polymath::backend::cuda
