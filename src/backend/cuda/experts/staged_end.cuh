#pragma once

// The epilogue of a grouped GEMM of many tokens. A warpgroup transposes 32 tokens at a time in shared memory, so that
// rows leave in 16-byte words, and a whole line of an output row at once.

#include "backend/cuda/experts/tile_sm90.cuh"

namespace polymath::backend::cuda {

constexpr int kChunk = 32;        // tokens that are staged together
constexpr int kChunkBuffers = 2;  // one is written while the other is read
constexpr int kChunkBytes = kChunk * kGroupRows * 2;

// The layout of a chunk: the results of one warpgroup for each of its tokens.
template <End kEnd>
struct ChunkLayout {
  static constexpr int kCols = kEnd == End::kOutput ? kGroupRows : kGroupRows / 2;  // gate and up become one
  static constexpr int kWords = kCols / 8;                                          // of 16 bytes, a token
  static constexpr int kTokensAtOnce = kGroupThreads / kWords;                      // a word a thread
  static constexpr int kRounds = kChunk / kTokensAtOnce;
  // XOR spreads the words of eight tokens over all banks.
  __device__ static __forceinline__ uint32_t place(uint32_t buffer, int token, int word) {
    const int turn = token * kWords / 8 % kWords;
    return buffer + static_cast<uint32_t>(token * kCols * 2 + (word ^ turn) * 16);
  }
};

// What a thread keeps for a tile: the output rows of the words that it stores, and its weight rows' biases.
template <End kEnd, int kColumns>
struct TileEnd {
  static constexpr int kRows = (kColumns + kChunk - 1) / kChunk * ChunkLayout<kEnd>::kRounds;
  int rows[kEnd == End::kOutput ? kRows : 1];
  float bias[2] = {0, 0};
};

// Loads before the GEMM, whose time hides them.
template <typename V, End kEnd, int kColumns>
__device__ __forceinline__ void load_end(const ExpertGemm& p, const Tile& tile, int group,
                                         TileEnd<kEnd, kColumns>& end) {
  if constexpr (kEnd == End::kOutput) {
    using Layout = ChunkLayout<kEnd>;
    const int thread = threadIdx.x % kGroupThreads;
#pragma unroll
    for (int i = 0; i < TileEnd<kEnd, kColumns>::kRows; ++i) {
      const int token = thread / Layout::kWords + i * Layout::kTokensAtOnce;
      end.rows[i] = token < tile.n ? p.groups.pairs[tile.begin + token] : -1;
    }
    if (p.bias == nullptr) return;
    const int64_t row =
        static_cast<int64_t>(tile.row_tile) * V::kRows + group * kGroupRows + thread / kWarp * 16 + thread % kWarp / 4;
    for (int i = 0; i < 2; ++i) {
      if (row + 8 * i < p.w.rows) end.bias[i] = p.bias[tile.expert * p.w.rows + row + 8 * i];
    }
  }
}

// `d`: the sums of the chunk's kTokens tokens. Four matrices of 8 weight rows and 8 tokens a store.
template <bool kHalf, int kTokens>
__device__ __forceinline__ void stage_outputs(uint32_t buffer, const float (&bias)[2], const float* d) {
  using Layout = ChunkLayout<End::kOutput>;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x % kGroupThreads / kWarp;
#pragma unroll
  for (int half = 0; half < kTokens / 16; ++half) {
    uint32_t words[4];
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const float* two = d + 8 * half + 2 * m;
      words[m] = two_elements<kHalf>({two[0] + bias[m % 2], two[1] + bias[m % 2]});
    }
    const int token = 16 * half + lane / 16 * 8 + lane % 8, word = warp * 2 + lane / 8 % 2;
    store_transposed(Layout::place(buffer, token, word), words);
  }
}

template <typename V, End kEnd, bool kHalf, int kTokens>
__device__ __forceinline__ void stage_intermediates(const ExpertGemm& p, const Tile& tile, int group, int chunk,
                                                    uint32_t buffer, const float* d) {
  using Layout = ChunkLayout<kEnd>;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x % kGroupThreads / kWarp;
  const int64_t index =
      static_cast<int64_t>(tile.row_tile) * V::kRows / 2 + group * Layout::kCols + warp * 8 + lane / 4;
  uint32_t words[4] = {};
#pragma unroll
  for (int m = 0; m < kTokens / 8; ++m) {
    float value[2];
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      const float gate = d[4 * m + t], up = d[4 * m + t + 2];
      if constexpr (kEnd == End::kSilu) {
        value[t] = silu_value(gate, up);
      } else {
        const int pair = chunk * kChunk + 8 * m + 2 * (lane % 4) + t;
        const bool there = pair < tile.n && index < p.w.rows / 2;
        value[t] = there ? any_value(p, tile, index, pair, {gate, up}) : 0.0f;
      }
    }
    words[m] = two_elements<kHalf>({value[0], value[1]});
  }
  store_transposed(Layout::place(buffer, lane, warp), words);
}

// The chunk's rows of this warpgroup's columns, from shared memory to y.
template <typename V, End kEnd>
__device__ __forceinline__ void write_chunk(const ExpertGemm& p, const Tile& tile, int group, int chunk,
                                            uint32_t buffer, const int* rows) {
  using Layout = ChunkLayout<kEnd>;
  constexpr bool kOutput = kEnd == End::kOutput;
  const int thread = threadIdx.x % kGroupThreads, word = thread % Layout::kWords;
  const int64_t cols = kOutput ? p.w.rows : p.w.rows / 2;
  const int64_t col = static_cast<int64_t>(tile.row_tile * V::kGroups + group) * Layout::kCols + word * 8;
#pragma unroll
  for (int i = 0; i < Layout::kRounds; ++i) {
    const int token = thread / Layout::kWords + i * Layout::kTokensAtOnce, column = chunk * kChunk + token;
    const int64_t row = kOutput ? rows[i] : tile.begin + column;
    if (column >= tile.n || col >= cols) continue;
    const uint4 v = load_word(Layout::place(buffer, token, word));
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p.y.data) + row * p.y.stride + col) = v;
  }
}

__device__ __forceinline__ void group_barrier(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(kGroupThreads) : "memory");
}

// A warpgroup's chunk buffers. `turn` runs on over the tiles, so that one barrier a chunk is enough.
struct ChunkBuffers {
  uint32_t begin = 0;
  int turn = 0;
  __device__ __forceinline__ uint32_t next() {
    turn ^= 1;
    return begin + static_cast<uint32_t>(turn * kChunkBytes);
  }
};

template <typename V, End kEnd, bool kHalf, int kTokens, int kColumns>
__device__ __forceinline__ void finish_chunk(const ExpertGemm& p, const Tile& tile, int group, int chunk,
                                             ChunkBuffers& buffers, const TileEnd<kEnd, kColumns>& end,
                                             const float* d) {
  const uint32_t buffer = buffers.next();
  if constexpr (kEnd == End::kOutput) {
    stage_outputs<kHalf, kTokens>(buffer, end.bias, d);
  } else {
    stage_intermediates<V, kEnd, kHalf, kTokens>(p, tile, group, chunk, buffer, d);
  }
  group_barrier(group);
  const int* rows = kEnd == End::kOutput ? &end.rows[chunk * ChunkLayout<kEnd>::kRounds] : nullptr;
  write_chunk<V, kEnd>(p, tile, group, chunk, buffer, rows);
}

template <typename V, End kEnd, bool kHalf, int kColumns>
__device__ __forceinline__ void finish_staged(const ExpertGemm& p, const Tile& tile, int group, ChunkBuffers& buffers,
                                              const TileEnd<kEnd, kColumns>& end, const float (&d)[kColumns / 2]) {
  constexpr int kWhole = kColumns / kChunk, kRest = kColumns % kChunk;
#pragma unroll
  for (int chunk = 0; chunk < kWhole; ++chunk) {
    if (chunk * kChunk >= tile.n) return;
    finish_chunk<V, kEnd, kHalf, kChunk>(p, tile, group, chunk, buffers, end, &d[chunk * kChunk / 2]);
  }
  if constexpr (kRest > 0) {
    if (kWhole * kChunk >= tile.n) return;
    finish_chunk<V, kEnd, kHalf, kRest>(p, tile, group, kWhole, buffers, end, &d[kWhole * kChunk / 2]);
  }
}

}  // namespace polymath::backend::cuda
