#pragma once

// Flash attention's inner loops on mma.sync, over keys and values in shared memory.
//
// Sources: Dao, "FlashAttention-2" (arXiv:2307.08691); PTX ISA 9.0 for the fragments of ldmatrix and mma.

#include <climits>

#include "backend/cuda/attention/split_kv.cuh"
#include "backend/cuda/shared_memory.cuh"

namespace polymath::backend::cuda {

__device__ __forceinline__ float negative_infinity() { return __int_as_float(0xff800000); }

__device__ __forceinline__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Rows in shared memory are permuted 16-byte words, so that ldmatrix's eight rows fall into different banks. A row has
// a multiple of 8 words, or of 4, or of 2.
template <int kDim>
struct Rows {
  static constexpr int kWords = kDim / 8, kBytes = kDim * 2;
  static_assert(kWords % 2 == 0);
  __device__ static __forceinline__ int twist(int row) {
    return kWords % 8 == 0 ? row & 7 : kWords % 4 == 0 ? (row >> 1) & 3 : (row >> 2) & 1;
  }
  __device__ static __forceinline__ int offset(int row, int word) { return row * kBytes + ((word ^ twist(row)) << 4); }
};

// Running sums of a warp's rows, kTiles times 16. A lane holds rows lane / 4 and + 8, columns 8 n + 2 (lane % 4) + {0,
// 1}. `sum` is this lane's share of a row's.
template <int kDim, int kTiles>
struct Sums {
  float values[kTiles][kDim / 8][4];
  float max[kTiles][2], sum[kTiles][2];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) values[m][n][i] = 0;
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        max[m][h] = negative_infinity();
        sum[m][h] = 0;
      }
    }
  }

  // Puts row (m, h) under a new maximum: what was summed under the old one shrinks.
  __device__ __forceinline__ void rescale(int m, int h, float new_max, float shrink) {
    sum[m][h] *= shrink;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      values[m][n][2 * h] *= shrink;
      values[m][n][2 * h + 1] *= shrink;
    }
    max[m][h] = new_max;
  }

  // Reduces the sums over the lanes of a row; maxima are powers of two.
  __device__ __forceinline__ void end(float scale) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        sum[m][h] += __shfl_xor_sync(kAllLanes, sum[m][h], 1);
        sum[m][h] += __shfl_xor_sync(kAllLanes, sum[m][h], 2);
        max[m][h] *= scale;
      }
    }
  }
};

template <int kTiles, int kKeys>
using Scores = float[kTiles][kKeys / 8][4];

template <int kDim, int kTiles, int kKeys>
__device__ __forceinline__ void score(uint32_t queries, uint32_t keys, Scores<kTiles, kKeys>& scores) {
  const int lane = threadIdx.x % kWarp, eight = lane & 7;
  const int q_row = (lane >> 3 & 1) * 8 + eight, q_word = (lane >> 4 ^ Rows<kDim>::twist(q_row)) << 4;
  const int k_row = (lane >> 4) * 8 + eight, k_word = ((lane >> 3 & 1) ^ Rows<kDim>::twist(k_row)) << 4;
  queries += q_row * Rows<kDim>::kBytes;
  keys += k_row * Rows<kDim>::kBytes;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[m][n][i] = 0;
    }
  }
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    uint32_t a[kTiles][4];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) load_matrices(a[m], queries + (q_word ^ k << 5) + m * 16 * Rows<kDim>::kBytes);
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n) {
      uint32_t b[4];
      load_matrices(b, keys + (k_word ^ k << 5) + n * 16 * Rows<kDim>::kBytes);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        mma_bf16(scores[m][2 * n], a[m][0], a[m][1], a[m][2], a[m][3], b[0], b[1]);
        mma_bf16(scores[m][2 * n + 1], a[m][0], a[m][1], a[m][2], a[m][3], b[2], b[3]);
      }
    }
  }
}

// Masks keys that a row does not see. `seen`: of the warp's first row; `key`: the first key.
template <int kTiles, int kKeys>
__device__ __forceinline__ void hide(const KeyRange* seen, int key, Scores<kTiles, kKeys>& scores) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int row = 0; row < 2 * kTiles; ++row) {
    const int m = row / 2, h = row % 2;
    const KeyRange range = seen[m * 16 + h * 8 + lane / 4];
#pragma unroll
    for (int i = 0; i < kKeys / 4; ++i) {
      const int k = key + i / 2 * 8 + lane % 4 * 2 + i % 2;
      if (k < range.begin || k >= range.end) scores[m][i / 2][2 * h + i % 2] = negative_infinity();
    }
  }
}

// Scores become probabilities under the new maxima. Earlier sums are rescaled only where a maximum of the warp grew.
template <int kDim, int kTiles, int kKeys>
__device__ __forceinline__ void weigh(float scale, Scores<kTiles, kKeys>& scores, Sums<kDim, kTiles>& sums) {
  float base[kTiles][2];
  bool grew = false;
  float top[kTiles][2];
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float t = sums.max[m][h];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) t = fmaxf(t, fmaxf(scores[m][n][2 * h], scores[m][n][2 * h + 1]));
      t = fmaxf(t, __shfl_xor_sync(kAllLanes, t, 1));
      t = fmaxf(t, __shfl_xor_sync(kAllLanes, t, 2));
      grew = grew || t > sums.max[m][h];
      top[m][h] = t;
      base[m][h] = t == negative_infinity() ? 0.0f : t * scale;  // no key yet: every weight becomes 0
    }
  }
  if (__any_sync(kAllLanes, grew)) {
#pragma unroll
    for (int row = 0; row < 2 * kTiles; ++row) {
      const int m = row / 2, h = row % 2;
      sums.rescale(m, h, top[m][h], power_of_two(sums.max[m][h] * scale - base[m][h]));
    }
  }
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[m][n][i] = power_of_two(fmaf(scores[m][n][i], scale, -base[m][i / 2]));
        sums.sum[m][i / 2] += scores[m][n][i];
      }
    }
  }
}

// A lane's probabilities already have the layout of the next mma's first operand.
template <int kDim, int kTiles, int kKeys>
__device__ __forceinline__ void add_values(uint32_t values, const Scores<kTiles, kKeys>& weights,
                                           Sums<kDim, kTiles>& sums) {
  const int lane = threadIdx.x % kWarp;
  const int row = (lane >> 3 & 1) * 8 + (lane & 7), word = (lane >> 4 ^ Rows<kDim>::twist(row)) << 4;
  values += row * Rows<kDim>::kBytes;
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    uint32_t a[kTiles][4];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &weights[m][2 * k + i / 2][i % 2 * 2];
        a[m][i] = two_bf16(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      uint32_t b[4];
      load_transposed(b, values + (word ^ n << 5) + k * 16 * Rows<kDim>::kBytes);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        mma_bf16(sums.values[m][2 * n], a[m][0], a[m][1], a[m][2], a[m][3], b[0], b[1]);
        mma_bf16(sums.values[m][2 * n + 1], a[m][0], a[m][1], a[m][2], a[m][3], b[2], b[3]);
      }
    }
  }
}

// Over a warp's rows: none sees a key outside [any.begin, any.end), each sees those of [all.begin, all.end).
struct WarpView {
  KeyRange any, all;
};
template <int kTiles>
__device__ __forceinline__ WarpView view_of(const KeyRange* seen) {
  WarpView v{{INT_MAX, INT_MIN}, {0, INT_MAX}};
#pragma unroll
  for (int row = static_cast<int>(threadIdx.x) % kWarp; row < kTiles * 16; row += kWarp) {
    const KeyRange r = seen[row];
    if (r.end == 0) continue;  // no row; one that sees keys of other splits alone ends before it begins
    v.all = {max(v.all.begin, r.begin), min(v.all.end, r.end)};
    if (r.end > r.begin) v.any = {min(v.any.begin, r.begin), max(v.any.end, r.end)};
  }
  return {{__reduce_min_sync(kAllLanes, v.any.begin), __reduce_max_sync(kAllLanes, v.any.end)},
          {__reduce_max_sync(kAllLanes, v.all.begin), __reduce_min_sync(kAllLanes, v.all.end)}};
}

}  // namespace polymath::backend::cuda
