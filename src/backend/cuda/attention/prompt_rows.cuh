#pragma once

// A warpgroup's 64 query rows on wgmma: scores, probabilities and sums, all in registers.
//
// A thread has two rows, lane / 4 and + 8 of its warp's 16. wgmma's d[4 j + 2 h + i] is of row h. Its column is 8 j +
// 2 (lane % 4) + i. Pairs of probabilities so have the layout of the next wgmma's operand.

#include "backend/cuda/attention/tile_ends.cuh"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {

constexpr int kGroupRows = 64;

// A thread's rows: their tokens and heads, and the keys that they see. A row that does not exist has token -1.
struct PromptRows {
  RowPlace place[2];
  int position[2], length;  // loaded long before they are needed
  KeyRange seen[2];
  KeyRange all;  // seen by all of the warp's rows

  // `row`: the warpgroup's first of the tile.
  __device__ __forceinline__ PromptRows(const TileShape& s, const Tile& tile, int row) {
    const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp % 4;
    length = length_of(s.p, tile.seq);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      place[h] = place_of(s, tile, row + warp * 16 + h * 8 + lane / 4);
      position[h] = place[h].token < 0 ? 0 : s.p.positions[place[h].token];
    }
  }
  __device__ __forceinline__ void find_keys(const AttentionParams& params) {
    all = {0, INT_MAX};
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      seen[h] = {0, 0};
      if (place[h].token < 0) continue;
      seen[h] = keys_at(params, position[h], length);
      all = {max(all.begin, seen[h].begin), min(all.end, seen[h].end)};
    }
    all = {__reduce_max_sync(kAllLanes, all.begin), __reduce_min_sync(kAllLanes, all.end)};
  }
};

// Masks the scores of keys that a row does not see; `key`: the run's first.
template <int kCount>
__device__ __forceinline__ void hide(const PromptRows& rows, int key, float (&scores)[kCount]) {
  if (key >= rows.all.begin && key + 2 * kCount <= rows.all.end) return;
  const int first = key + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int at = first + i / 4 * 8 + i % 2;
    const KeyRange& seen = rows.seen[i / 2 % 2];
    if (at < seen.begin || at >= seen.end) scores[i] = negative_infinity();
  }
}

// The softmax of a thread's rows up to now. `sum` is this thread's share.
struct PromptSoftmax {
  float max[2], sum[2];

  // A sink counts as a key without a value.
  __device__ __forceinline__ PromptSoftmax(const TileShape& s, const PromptRows& rows) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      max[h] = negative_infinity();
      sum[h] = 0;
      if (s.p.params.sinks == nullptr || rows.place[h].token < 0) continue;
      max[h] = s.p.params.sinks[rows.place[h].head] / s.p.params.scale;
      sum[h] = threadIdx.x % 4 == 0 ? 1.0f : 0.0f;
    }
  }

  // Scores become probabilities under the new maxima. True: earlier values shrink by `shrink`, of each row.
  template <int kCount>
  __device__ __forceinline__ bool weigh(float scale, float (&scores)[kCount], float (&shrink)[2]) {
    float base[2];
    bool grew = false;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float top[2] = {max[h], negative_infinity()};
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j) {
        top[j % 2] = fmaxf(top[j % 2], fmaxf(scores[4 * j + 2 * h], scores[4 * j + 2 * h + 1]));
      }
      float t = fmaxf(top[0], top[1]);
      t = fmaxf(t, __shfl_xor_sync(kAllLanes, t, 1));
      t = fmaxf(t, __shfl_xor_sync(kAllLanes, t, 2));
      base[h] = t == negative_infinity() ? 0.0f : t * scale;  // no key yet: every probability becomes 0
      shrink[h] = power_of_two(max[h] * scale - base[h]);
      grew = grew || t > max[h];
      sum[h] *= shrink[h];
      max[h] = t;
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      scores[i] = power_of_two(fmaf(scores[i], scale, -base[i / 2 % 2]));
      sum[i / 2 % 2] += scores[i];
    }
    // No sum is negative. The vote needs all probabilities, so the assembler does not move them behind a later wait.
    return __any_sync(kAllLanes, grew || sum[0] + sum[1] < 0);
  }

  // Of row h, over its four threads.
  __device__ __forceinline__ float total(int h) const {
    const float two = sum[h] + __shfl_xor_sync(kAllLanes, sum[h], 1);
    return two + __shfl_xor_sync(kAllLanes, two, 2);
  }
};

// What a row's values are multiplied with in the end.
__device__ __forceinline__ float part_of(float total) { return total > 0 ? 1.0f / total : 0.0f; }

template <int kValues>
__device__ __forceinline__ void shrink_values(const float (&shrink)[2], float (&values)[kValues]) {
#pragma unroll
  for (int i = 0; i < kValues; ++i) values[i] *= shrink[i / 2 % 2];
}

template <int kCount>
__device__ __forceinline__ void to_words(const float (&scores)[kCount], uint32_t (&words)[kCount / 2]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) words[i] = two_bf16(scores[2 * i], scores[2 * i + 1]);
}

// Transposes 4 x 4 words among four neighbouring lanes: lane l's word i becomes lane i's word l.
__device__ __forceinline__ void transpose_words(uint32_t (&w)[4]) {
  const int lane = threadIdx.x % 4;
#pragma unroll
  for (int step = 1; step <= 2; step *= 2) {
    const bool high = (lane & step) != 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if ((i & step) != 0) continue;
      uint32_t &low_word = w[i], &high_word = w[i + step];
      const uint32_t got = __shfl_xor_sync(kAllLanes, high ? low_word : high_word, step);
      if (high) {
        low_word = got;
      } else {
        high_word = got;
      }
    }
  }
}

// Which columns of each head's outputs.
struct Columns {
  int of_head, first;
};
// Writes a thread's values times `part`, of each row, in words of 16 bytes where outputs are bf16. By whole warps.
template <int kValues>
__device__ __forceinline__ void write_rows(const TileShape& s, const PromptRows& rows, Columns columns,
                                           const float (&part)[2], const float (&values)[kValues]) {
  constexpr int kEights = kValues / 4;
  const int lane = threadIdx.x % 4;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const RowPlace& place = rows.place[h];
    const int64_t at =
        place.token * s.p.out.stride + static_cast<int64_t>(place.head) * columns.of_head + columns.first;
    if (s.p.out.type == Type::kF32) {
      if (place.token < 0) continue;
      float* const to = static_cast<float*>(s.p.out.data) + at + lane * 2;
#pragma unroll
      for (int j = 0; j < kEights; ++j) {
        *reinterpret_cast<float2*>(to + j * 8) = {values[4 * j + 2 * h] * part[h], values[4 * j + 2 * h + 1] * part[h]};
      }
      continue;
    }
    auto* const to = static_cast<__nv_bfloat16*>(s.p.out.data) + at + lane * 8;
#pragma unroll
    for (int j = 0; j < kEights; j += 4) {
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* const pair = &values[4 * (j + i) + 2 * h];
        words[i] = two_bf16(pair[0] * part[h], pair[1] * part[h]);
      }
      transpose_words(words);
      if (place.token >= 0) *reinterpret_cast<uint4*>(to + j * 8) = {words[0], words[1], words[2], words[3]};
    }
  }
}

}  // namespace polymath::backend::cuda
