#pragma once

// The transposed matrix multiplications of paged_attention_decode.cu on mma.m16n8k16. Keys, then a head's elements, are
// the side of 16. Up to eight heads that share a kv head are the side of 8.
//
// Source: PTX ISA 9.0, the fragments of ldmatrix, mma.m16n8k16 and movmatrix.

#include "backend/cuda/attention/decode_job.cuh"
#include "backend/cuda/attention/kv_codes.cuh"

namespace polymath::backend::cuda {

constexpr float kLog2OfE = 1.4426950408889634f;

__device__ __forceinline__ uint32_t transposed(uint32_t matrix) {
  uint32_t y;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(matrix));
  return y;
}

// A lane's row address for ldmatrix, of a stage's keys or values; place(k) is step k, 16 elements. Keys are read as
// rows: the second matrix has the next 8 keys. Values are read as columns: the second matrix has the next 8 elements.
template <int kDim, bool kValues>
class Matrices {
 public:
  __device__ __forceinline__ explicit Matrices(uint32_t keys) {
    const int lane = threadIdx.x % kWarp, second = lane >> 3 & 1, upper = lane >> 4;
    const int row = (kValues ? upper : second) * 8 + (lane & 7), word = kValues ? second : upper;
    const uint32_t first = keys + Rows<kDim>::offset(row, word);
#pragma unroll
    for (int i = 0; i < kTurns; ++i) begin_[i] = first ^ i << 5;
  }
  __device__ __forceinline__ uint32_t place(int k) const { return begin_[k % kTurns] + k / kTurns * (kTurns * 32); }

 private:
  // Steps whose words a row's twist mixes.
  static constexpr int kTurns = Rows<kDim>::kWords % 8 == 0 ? 4 : Rows<kDim>::kWords % 4 == 0 ? 2 : 1;
  uint32_t begin_[kTurns];
};

// A warp's running sums of a tile's heads. A lane holds heads 8 t + 2 (lane % 4) + {0, 1}. Of each: elements 16 n +
// lane / 4 ([0], [1]) and + 8 ([2], [3]). Maxima are powers of two; `sum` is this lane's share of a head's.
template <int kDim, int kTiles>
struct HeadSums {
  float values[kTiles][kDim / 16][4];
  float max[kTiles][2], sum[kTiles][2];

  // A sink counts as a key without a value, in the warp that has `sinks` set.
  __device__ __forceinline__ void clear(const TileShape& s, const Tile& tile, bool sinks) {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int n = 0; n < kDim / 16; ++n) values[t][n][0] = values[t][n][1] = values[t][n][2] = values[t][n][3] = 0;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        max[t][h] = negative_infinity();
        sum[t][h] = 0;
      }
    }
    if (!sinks || s.p.params.sinks == nullptr) return;
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      const int head = min(tile.head_begin + i / 2 * 8 + lane % 4 * 2 + i % 2, s.group - 1);
      max[i / 2][i % 2] = s.p.params.sinks[tile.kv_head * s.group + head] * kLog2OfE;
      sum[i / 2][i % 2] = lane < 4 ? 1.0f : 0.0f;
    }
  }
};

// The scores of a slice's keys. A lane has, of the heads of HeadSums, keys lane / 4 ([0], [1]) and + 8 ([2], [3]).
template <int kDim, int kTiles>
__device__ __forceinline__ void score_keys(const Matrices<kDim, false>& keys, const uint32_t (&q)[kTiles][kDim / 8],
                                           float (&scores)[kTiles][4]) {
  constexpr int kChains = kTiles == 1 ? 2 : 1;  // independent mma chains
  float sums[kChains][kTiles][4] = {};
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    uint32_t a[4];
    load_matrices(a, keys.place(k));
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
      mma_bf16(sums[k % kChains][t], a[0], a[1], a[2], a[3], q[t][2 * k], q[t][2 * k + 1]);
  }
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) {
    scores[i / 4][i % 4] = sums[0][i / 4][i % 4];
    if constexpr (kChains == 2) scores[i / 4][i % 4] += sums[1][i / 4][i % 4];
  }
}

// What a packed slice is decoded with. A lane has the scales of its keys, lane / 4 and + 8.
struct SliceCodes {
  KvDecoder decoder;
  float keys[2], values[2];
  // `scales`: of 16 keys, then of 16 values.
  __device__ __forceinline__ void load(uint32_t scales) {
    const uint32_t own = scales + threadIdx.x % kWarp / 4 * 4;
    keys[0] = load_float(own), keys[1] = load_float(own + 32);
    values[0] = load_float(own + 64), values[1] = load_float(own + 96);
  }
};

// The same of a packed slice. A matrix of 16-bit elements is one of 8 keys' pairs of codes.
template <int kDim, int kTiles>
__device__ __forceinline__ void score_codes(const Matrices<kDim / 2, false>& keys, const SliceCodes& codes,
                                            const uint32_t (&q)[kTiles][kDim / 8], float (&scores)[kTiles][4]) {
  constexpr int kChains = kTiles == 1 ? 2 : 1;
  float sums[kChains][kTiles][4] = {};
#pragma unroll
  for (int k = 0; k < kDim / 32; ++k) {
    uint32_t w[4];
    load_matrices(w, keys.place(k));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32_t first = w[2 * i], second = w[2 * i + 1];
      const uint32_t a[4] = {codes.decoder.even(first), codes.decoder.even(second), codes.decoder.odd(first),
                             codes.decoder.odd(second)};
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        mma_bf16(sums[i % kChains][t], a[0], a[1], a[2], a[3], q[t][4 * k + 2 * i], q[t][4 * k + 2 * i + 1]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) {
    float sum = sums[0][i / 4][i % 4];
    if constexpr (kChains == 2) sum += sums[1][i / 4][i % 4];
    scores[i / 4][i % 4] = sum * codes.keys[i % 4 / 2];
  }
}

// Masks the keys of the slice from `key` on that lie outside [seen, end).
template <int kTiles>
__device__ __forceinline__ void hide_keys(int seen, int end, int key, float (&scores)[kTiles][4]) {
  if (agreed(key >= seen && key + kSlice <= end)) return;
  const int own = key + static_cast<int>(threadIdx.x % kWarp) / 4;
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) {
    const int k = own + i % 4 / 2 * 8;
    if (k < seen || k >= end) scores[i / 4][i % 4] = negative_infinity();
  }
}

// Scores become probabilities under the new maxima. Earlier sums are rescaled only where a maximum of the warp grew. A
// slice has a visible key, so the new maxima are finite.
template <int kDim, int kTiles>
__device__ __forceinline__ void weigh_keys(float scale, float (&scores)[kTiles][4], HeadSums<kDim, kTiles>& sums) {
  float top[kTiles][2];
#pragma unroll
  for (int i = 0; i < 2 * kTiles; ++i) top[i / 2][i % 2] = fmaxf(scores[i / 2][i % 2], scores[i / 2][i % 2 + 2]);
#pragma unroll
  for (int step = 4; step < kWarp; step *= 2) {
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      top[i / 2][i % 2] = fmaxf(top[i / 2][i % 2], __shfl_xor_sync(kAllLanes, top[i / 2][i % 2], step));
    }
  }
  bool shrinks = false;  // not before there are sums
#pragma unroll
  for (int i = 0; i < 2 * kTiles; ++i) {
    const float before = sums.max[i / 2][i % 2];
    top[i / 2][i % 2] = fmaxf(before, top[i / 2][i % 2] * scale);
    shrinks = shrinks || (before < top[i / 2][i % 2] && before != negative_infinity());
  }
  if (__any_sync(kAllLanes, shrinks)) {
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      const int t = i / 2, h = i % 2;
      const float shrink = power_of_two(sums.max[t][h] - top[t][h]);
      sums.sum[t][h] *= shrink;
#pragma unroll
      for (int n = 0; n < kDim / 16; ++n) {
        sums.values[t][n][h] *= shrink;
        sums.values[t][n][h + 2] *= shrink;
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      sums.max[t][h] = top[t][h];
      scores[t][h] = power_of_two(fmaf(scores[t][h], scale, -top[t][h]));
      scores[t][h + 2] = power_of_two(fmaf(scores[t][h + 2], scale, -top[t][h]));
      sums.sum[t][h] += scores[t][h] + scores[t][h + 2];
    }
  }
}

// Probabilities times the values' scales. Past `end` a scale may be anything, NaN too.
template <int kTiles>
__device__ __forceinline__ void scale_weights(const SliceCodes& codes, int end, int key, float (&weights)[kTiles][4]) {
  const int own = key + static_cast<int>(threadIdx.x % kWarp) / 4;
  const float scales[2] = {own < end ? codes.values[0] : 0.0f, own + 8 < end ? codes.values[1] : 0.0f};
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) weights[i / 4][i % 4] *= scales[i % 4 / 2];
}

// The probabilities, transposed, are the second operand of the next mma.
template <int kTiles>
__device__ __forceinline__ void transpose_weights(const float (&weights)[kTiles][4], uint32_t (&b)[kTiles][2]) {
#pragma unroll
  for (int i = 0; i < 2 * kTiles; ++i) {
    const float* pair = &weights[i / 2][i % 2 * 2];
    b[i / 2][i % 2] = transposed(two_bf16(pair[0], pair[1]));
  }
}
template <int kDim, int kTiles>
__device__ __forceinline__ void add_weighed(const Matrices<kDim, true>& values, const float (&weights)[kTiles][4],
                                            HeadSums<kDim, kTiles>& sums) {
  uint32_t b[kTiles][2];
  transpose_weights(weights, b);
#pragma unroll
  for (int n = 0; n < kDim / 16; ++n) {
    uint32_t a[4];
    load_transposed(a, values.place(n));
#pragma unroll
    for (int t = 0; t < kTiles; ++t) mma_bf16(sums.values[t][n], a[0], a[1], a[2], a[3], b[t][0], b[t][1]);
  }
}

// Of a packed slice: a matrix has two elements of a head, side by side, of 8 keys. Decoded these are rows 8 apart.
template <int kDim, int kTiles>
__device__ __forceinline__ void add_codes(const Matrices<kDim / 2, true>& values, const KvDecoder& decoder,
                                          const float (&weights)[kTiles][4], HeadSums<kDim, kTiles>& sums) {
  uint32_t b[kTiles][2];
  transpose_weights(weights, b);
#pragma unroll
  for (int n = 0; n < kDim / 32; ++n) {
    uint32_t w[4];
    load_transposed(w, values.place(n));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32_t a[4] = {decoder.even(w[i]), decoder.odd(w[i]), decoder.even(w[i + 2]), decoder.odd(w[i + 2])};
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        mma_bf16(sums.values[t][2 * n + i], a[0], a[1], a[2], a[3], b[t][0], b[t][1]);
      }
    }
  }
}

}  // namespace polymath::backend::cuda
