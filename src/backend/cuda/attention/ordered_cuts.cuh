#pragma once

// Cuts of keys and their sums, for paged_attention_ordered.cu.

#include "backend/cuda/attention/tile_ends.cuh"

namespace polymath::backend::cuda {

constexpr float kPowersOfE = 1.4426950408889634f;                     // e in powers of two
constexpr int kOrderedKeys = 64, kCutSlices = kOrderedKeys / kSlice;  // of a cut

// Of a lane's rows, lane / 4 and + 8, as Sums. Maxima are powers of two; `sum` is the row's.
template <int kDim>
struct Total {
  float values[kDim / 8][4];
  float max[2], sum[2];
};

// A sink counts as a key without a value, before all others. `row`: the warp's first.
template <int kDim>
__device__ __forceinline__ void begin_total(const TileShape& s, const Tile& tile, int row, Total<kDim>& total) {
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) total.values[n][i] = 0;
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const RowPlace place = place_of(s, tile, row + h * 8 + static_cast<int>(threadIdx.x) % kWarp / 4);
    const bool sinks = s.p.params.sinks != nullptr && place.token >= 0;
    total.max[h] = sinks ? s.p.params.sinks[place.head] * kPowersOfE : negative_infinity();
    total.sum[h] = sinks ? 1.0f : 0.0f;
  }
}

// One slice's scores become probabilities. Rows whose maximum stays are multiplied with exactly 1.
template <int kDim>
__device__ __forceinline__ void weigh_slice(float scale, Scores<1, kSlice>& scores, Sums<kDim, 1>& sums) {
  float base[2], top[2];
  bool grew = false;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float t = sums.max[0][h];
#pragma unroll
    for (int n = 0; n < kSlice / 8; ++n) t = fmaxf(t, fmaxf(scores[0][n][2 * h], scores[0][n][2 * h + 1]));
    t = fmaxf(t, __shfl_xor_sync(kAllLanes, t, 1));
    t = fmaxf(t, __shfl_xor_sync(kAllLanes, t, 2));
    grew = grew || t > sums.max[0][h];
    top[h] = t;
    base[h] = t == negative_infinity() ? 0.0f : __fmul_rn(t, scale);  // no key yet: every weight becomes 0
  }
  if (__any_sync(kAllLanes, grew)) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float shrink = top[h] > sums.max[0][h] ? power_of_two(__fmaf_rn(sums.max[0][h], scale, -base[h])) : 1.0f;
      sums.rescale(0, h, top[h], shrink);
    }
  }
#pragma unroll
  for (int n = 0; n < kSlice / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[0][n][i] = power_of_two(__fmaf_rn(scores[0][n][i], scale, -base[i / 2]));
      sums.sum[0][i / 2] = __fadd_rn(sums.sum[0][i / 2], scores[0][n][i]);
    }
  }
}

// A row's maximum after another cut, and what the sums before and the cut's are multiplied with.
struct Folding {
  float top, keep, add;
  __device__ __forceinline__ Folding(float before, float of_cut) : top(fmaxf(before, of_cut)) {
    const float base = top == negative_infinity() ? 0.0f : top;
    keep = before == top ? 1.0f : power_of_two(before - base);
    add = of_cut == top ? 1.0f : power_of_two(of_cut - base);
  }
  __device__ __forceinline__ float sum(float before, float of_cut) const {
    return __fmaf_rn(before, keep, __fmul_rn(of_cut, add));
  }
};

// A lane's share of a cut's row sums becomes the row's, its maxima powers of two.
template <int kDim>
__device__ __forceinline__ void end_cut(float scale, Sums<kDim, 1>& cut) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float& sum = cut.sum[0][h];
    sum = __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, 1));
    sum = __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, 2));
    cut.max[0][h] = __fmul_rn(cut.max[0][h], scale);
  }
}

// Adds a finished cut, which is cleared.
template <int kDim>
__device__ __forceinline__ void fold(float scale, Sums<kDim, 1>& cut, Total<kDim>& total) {
  end_cut(scale, cut);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const Folding folding(total.max[h], cut.max[0][h]);
    total.max[h] = folding.top;
    total.sum[h] = folding.sum(total.sum[h], cut.sum[0][h]);
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int i = 2 * h; i < 2 * h + 2; ++i) {
        total.values[n][i] = folding.sum(total.values[n][i], cut.values[0][n][i]);
      }
    }
  }
  cut.clear();
}

template <int kDim>
__device__ __forceinline__ void write_total(const TileShape& s, const Tile& tile, int row, const Total<kDim>& total) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const RowPlace place = place_of(s, tile, row + h * 8 + lane / 4);
    if (place.token < 0) continue;
    const float part = total.sum[h] > 0 ? 1.0f / total.sum[h] : 0.0f;
    const int64_t col = static_cast<int64_t>(place.head) * kDim + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      put_pair(s, place.token, col + n * 8, __fmul_rn(total.values[n][2 * h], part),
               __fmul_rn(total.values[n][2 * h + 1], part));
    }
  }
}

// Fetches this warp's slices: 64 neighbouring keys of every 256. As Slices, whose warps share each 64 keys.
template <int kDim, bool kPacked>
class CutSlices {
 public:
  __device__ __forceinline__ CutSlices(const TileShape& s, const Tile& tile, const Split& split, int64_t table_cols)
      : s_(s), table_(s.p.block_table + tile.seq * table_cols), end_(split.end) {
    const Kv& kv = s.p.kv;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, of_head = kv.block_size / kPage;
    first_page_ = (split.begin + warp * kOrderedKeys) / kPage;
    head_ = static_cast<const unsigned char*>(kv.data) + static_cast<int64_t>(tile.kv_head) * of_head * kBytes;
    to_values_ = static_cast<int64_t>(kv.n_kv_heads) * of_head * kBytes;
    now_ = look_up(0);
    next_ = look_up(1);
  }

  // Slice `index` into 16 rows at `keys` and at `values`. Packed: its pages go to `keys`. Called with ascending
  // indices.
  __device__ __forceinline__ void fetch(int index, uint32_t keys, uint32_t values) {
    const int lane = threadIdx.x % kWarp, turn = index % 16;
    if (turn == 0 && index > 0) {
      now_ = next_;
      next_ = look_up(index / 16 + 1);
    }
#pragma unroll
    for (int i = 0; i < kSlice / kPage; ++i) {
      const int block = __shfl_sync(kAllLanes, now_, turn * 2 + i), page = page_of(index) + i;
      const int in_block = page - block_of(page) * (s_.p.kv.block_size / kPage);
      const unsigned char* from = head_ + block * (2 * to_values_) + in_block * kBytes;
      if constexpr (kPacked) {
        copy_page<kDim>(from, keys + i * kBytes);
        copy_page<kDim>(from + to_values_, keys + (i + kSlice / kPage) * kBytes);
      } else {
#pragma unroll
        for (int k = 0; k < kDim / kWarp; ++k) {
          const int at = lane + k * kWarp, row = at / Rows<kDim>::kWords;
          const bool there = page * kPage + row < end_;
          const int to = i * kPage * Rows<kDim>::kBytes + Rows<kDim>::offset(row, at % Rows<kDim>::kWords);
          fetch_word(keys + to, from + at * 16, there);
          fetch_word(values + to, from + to_values_ + at * 16, there);
        }
      }
    }
  }

  // As Slices has it.
  __device__ __forceinline__ void unpack(int index, uint32_t from, uint32_t keys, uint32_t values) const {
    const KeyRange there{INT_MIN, end_ - page_of(index) * kPage};
    unpack_pages<kDim>(s_.p.kv.code, from, keys, there);
    unpack_pages<kDim>(s_.p.kv.code, from + kSlice / kPage * kBytes, values, there);
  }

 private:
  static constexpr int kBytes = kPageBytes<kDim, kPacked>;

  __device__ __forceinline__ int page_of(int index) const {
    return first_page_ + (index / kCutSlices * (kWarps * kCutSlices) + index % kCutSlices) * (kSlice / kPage);
  }
  __device__ __forceinline__ int block_of(int page) const {
    return static_cast<int>(static_cast<uint64_t>(page) * s_.pages_part >> 32);
  }
  // This lane's page of the `sixteen`-th 16 slices: its block's number, or 0 past the last key.
  __device__ __forceinline__ int look_up(int sixteen) const {
    const int lane = threadIdx.x % kWarp, page = page_of(sixteen * 16 + lane / 2) + lane % 2;
    return page * kPage < end_ ? table_[block_of(page)] : 0;
  }

  const TileShape& s_;
  const int32_t* table_;
  const unsigned char* head_;
  int64_t to_values_;
  int end_, first_page_, now_, next_;
};

// The tile's keys from a cut's first on.
__device__ __forceinline__ Split keys_of_cuts(const TileShape& s, const Tile& tile) {
  const KeyRange keys = keys_of_tile(s, tile);
  return {keys.begin / kOrderedKeys * kOrderedKeys, keys.end, 1};
}

}  // namespace polymath::backend::cuda
