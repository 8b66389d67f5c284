#pragma once

// The epilogue of a grouped GEMM of many tokens. A warpgroup transposes 32 tokens at a time in shared memory. Rows
// leave in 16-byte words, a whole line of an output row at once.

#include "backend/cuda/experts/tile_sm90.cuh"

namespace polymath::backend::cuda {

constexpr int kChunk = 32;        // tokens that are staged together
constexpr int kChunkBuffers = 2;  // one is written while the other is read
constexpr int kChunkBytes = kChunk * kGroupRows * 2;

// A warpgroup's chunk buffers. `turn` runs on over the tiles, so that one barrier a chunk is enough.
struct ChunkBuffers {
  uint32_t begin = 0;
  int turn = 0;
  __device__ __forceinline__ uint32_t next() {
    turn ^= 1;
    return begin + static_cast<uint32_t>(turn * kChunkBytes);
  }
};

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

// A warpgroup's end of one tile of at most kColumns tokens.
template <typename V, End kEnd, bool kHalf, int kColumns>
class StagedEnd {
 public:
  using Sums = float[kColumns / 2];

  // Loads the output rows of the thread's words and the biases of its weight rows. Before the GEMM, which hides them.
  __device__ __forceinline__ StagedEnd(const ExpertGemm& p, const Tile& tile, int group)
      : p_(p), tile_(tile), group_(group) {
    if constexpr (kEnd == End::kOutput) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int token = thread() / Layout::kWords + i * Layout::kTokensAtOnce;
        rows_[i] = token < tile.n ? p.groups.pairs[tile.begin + token] : -1;
      }
      if (p.bias == nullptr) return;
      const int64_t row = first_col() + warp() * 16 + lane() / 4;
      for (int i = 0; i < 2; ++i) {
        if (row + 8 * i < p.w.rows) bias_[i] = p.bias[tile.expert * p.w.rows + row + 8 * i];
      }
    }
  }

  __device__ __forceinline__ void finish(const Sums& d, ChunkBuffers& buffers) const {
    constexpr int kWhole = kColumns / kChunk, kRest = kColumns % kChunk;
#pragma unroll
    for (int chunk = 0; chunk < kWhole; ++chunk) {
      if (chunk * kChunk >= tile_.n) return;
      finish_chunk<kChunk>(chunk, buffers.next(), &d[chunk * kChunk / 2]);
    }
    if constexpr (kRest > 0) {
      if (kWhole * kChunk < tile_.n) finish_chunk<kRest>(kWhole, buffers.next(), &d[kWhole * kChunk / 2]);
    }
  }

 private:
  using Layout = ChunkLayout<kEnd>;
  static constexpr int kRows = kEnd == End::kOutput ? (kColumns + kChunk - 1) / kChunk * Layout::kRounds : 1;

  __device__ static __forceinline__ int thread() { return threadIdx.x % kGroupThreads; }
  __device__ static __forceinline__ int warp() { return thread() / kWarp; }
  __device__ static __forceinline__ int lane() { return threadIdx.x % kWarp; }
  // The warpgroup's first column of y.
  __device__ __forceinline__ int64_t first_col() const {
    return static_cast<int64_t>(tile_.row_tile * V::kGroups + group_) * Layout::kCols;
  }

  // `d`: the sums of the chunk's kTokens tokens.
  template <int kTokens>
  __device__ __forceinline__ void finish_chunk(int chunk, uint32_t buffer, const float* d) const {
    if constexpr (kEnd == End::kOutput) {
      stage_outputs<kTokens>(buffer, d);
    } else {
      stage_intermediates<kTokens>(chunk, buffer, d);
    }
    asm volatile("bar.sync %0, %1;" ::"r"(1 + group_), "n"(kGroupThreads) : "memory");
    write_chunk(chunk, buffer);
  }

  // Four matrices of 8 weight rows and 8 tokens a store.
  template <int kTokens>
  __device__ __forceinline__ void stage_outputs(uint32_t buffer, const float* d) const {
#pragma unroll
    for (int half = 0; half < kTokens / 16; ++half) {
      uint32_t words[4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        const float* two = d + 8 * half + 2 * m;
        words[m] = two_elements<kHalf>({two[0] + bias_[m % 2], two[1] + bias_[m % 2]});
      }
      const int token = 16 * half + lane() / 16 * 8 + lane() % 8, word = warp() * 2 + lane() / 8 % 2;
      store_transposed(Layout::place(buffer, token, word), words);
    }
  }

  template <int kTokens>
  __device__ __forceinline__ void stage_intermediates(int chunk, uint32_t buffer, const float* d) const {
    const int64_t index = first_col() + warp() * 8 + lane() / 4;
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
          const int pair = chunk * kChunk + 8 * m + 2 * (lane() % 4) + t;
          const bool there = pair < tile_.n && index < p_.w.rows / 2;
          value[t] = there ? any_value(p_, tile_, index, pair, {gate, up}) : 0.0f;
        }
      }
      words[m] = two_elements<kHalf>({value[0], value[1]});
    }
    store_transposed(Layout::place(buffer, lane(), warp()), words);
  }

  // The chunk's rows of this warpgroup's columns, from shared memory to y.
  __device__ __forceinline__ void write_chunk(int chunk, uint32_t buffer) const {
    constexpr bool kOutput = kEnd == End::kOutput;
    const int word = thread() % Layout::kWords;
    const int64_t cols = kOutput ? p_.w.rows : p_.w.rows / 2, col = first_col() + word * 8;
#pragma unroll
    for (int i = 0; i < Layout::kRounds; ++i) {
      const int token = thread() / Layout::kWords + i * Layout::kTokensAtOnce, column = chunk * kChunk + token;
      const int64_t row = kOutput ? rows_[chunk * Layout::kRounds + i] : tile_.begin + column;
      if (column >= tile_.n || col >= cols) continue;
      const uint4 v = load_word(Layout::place(buffer, token, word));
      *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p_.y.data) + row * p_.y.stride + col) = v;
    }
  }

  const ExpertGemm& p_;
  const Tile& tile_;
  const int group_;
  int rows_[kRows];
  float bias_[2] = {0, 0};
};

}  // namespace polymath::backend::cuda
