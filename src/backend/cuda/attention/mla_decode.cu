// MLA attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434) over a paged bf16 latent cache, on tensor cores.
// There is one kv head: keys of 576 elements, whose first 512 are the value.
//
// The heads of a query are the rows of a tile. Of a run of 64 keys each warp scores the 16 that it fetched. The
// probabilities go through shared memory. Each warp accumulates a quarter of the value columns: 512 sums a row exceed
// one warp's registers. Tiles, splits and their merge are those of paged_attention_mma.cu.

#include "backend/cuda/attention/ordered.h"
#include "backend/cuda/attention/tile_ends.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kKeyDim = 576, kValueDim = 512;
constexpr int kColumns = kValueDim / kWarps;  // of values, a warp's
constexpr int kUncutKeys = 512;               // of a single token's

// Shared memory, in bytes from the front: two runs of keys, queries, probabilities of a run, visible keys, row maxima.
// Packed: a run of keys, and two packed runs.
template <int kRows, bool kPacked>
struct LatentMemory {
  static constexpr int kStage = kRun * Rows<kKeyDim>::kBytes;
  static constexpr int kPackedSlice = kSlice / kPage * kPageBytes<kKeyDim, true>, kPackedStage = kWarps * kPackedSlice;
  static constexpr int kQueries = kPacked ? kStage + 2 * kPackedStage : 2 * kStage;
  static constexpr int kWeights = kQueries + kRows * Rows<kKeyDim>::kBytes;
  static constexpr int kSeen = kWeights + kRows * Rows<kRun>::kBytes;
  static constexpr int kShared = kSeen + kRows * static_cast<int>(sizeof(KeyRange));
  static constexpr int kBytes = kShared + kWarps * kRows * static_cast<int>(sizeof(float));

  // As Memory has them.
  __device__ static __forceinline__ uint32_t arrives(uint32_t base, int stage) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    if constexpr (kPacked) return base + kStage + stage * kPackedStage + warp * kPackedSlice;
    return own_rows(base, stage);
  }
  __device__ static __forceinline__ uint32_t rows(uint32_t base, int stage) {
    return base + (kPacked ? 0 : stage * kStage);
  }
  __device__ static __forceinline__ uint32_t own_rows(uint32_t base, int stage) {
    return rows(base, stage) + static_cast<int>(threadIdx.x) / kWarp * kSlice * Rows<kKeyDim>::kBytes;
  }
};

// The row of a lane's half `h` of tile m.
__device__ __forceinline__ int row_of(int m, int h) {
  return m * 16 + h * 8 + static_cast<int>(threadIdx.x) % kWarp / 4;
}

// Shares each row's maximum over this warp's keys.
template <int kTiles>
__device__ __forceinline__ void share_maxima(const Scores<kTiles, kSlice>& scores, float* shared) {
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float top = negative_infinity();
#pragma unroll
      for (int n = 0; n < kSlice / 8; ++n) top = fmaxf(top, fmaxf(scores[m][n][2 * h], scores[m][n][2 * h + 1]));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      if (lane % 4 == 0) shared[warp * kTiles * 16 + row_of(m, h)] = top;
    }
  }
}

// This warp's scores become probabilities in shared memory, under the maxima of all warps. Earlier sums are rescaled.
template <int kTiles>
__device__ __forceinline__ void weigh_run(float scale, const float* shared, const Scores<kTiles, kSlice>& scores,
                                          Sums<kColumns, kTiles>& sums, unsigned char* weights) {
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = row_of(m, h);
      float top = sums.max[m][h];
#pragma unroll
      for (int w = 0; w < kWarps; ++w) top = fmaxf(top, shared[w * kTiles * 16 + row]);
      const float base = top == negative_infinity() ? 0.0f : top * scale;  // no key yet: every weight becomes 0
      if (__any_sync(kAllLanes, top > sums.max[m][h])) {
        // Exactly 1 for a row whose own maximum stays: other rows do not change its sums.
        const float shrink = top > sums.max[m][h] ? power_of_two(fmaf(sums.max[m][h], scale, -base)) : 1.0f;
        sums.rescale(m, h, top, shrink);
      }
#pragma unroll
      for (int n = 0; n < kSlice / 8; ++n) {
        const float a = power_of_two(fmaf(scores[m][n][2 * h], scale, -base)),
                    b = power_of_two(fmaf(scores[m][n][2 * h + 1], scale, -base));
        sums.sum[m][h] += a + b;
        *reinterpret_cast<uint32_t*>(weights + Rows<kRun>::offset(row, warp * (kSlice / 8) + n) + lane % 4 * 4) =
            two_bf16(a, b);
      }
    }
  }
}

// Accumulates this warp's value columns, weighted by the probabilities of all keys.
template <int kTiles>
__device__ __forceinline__ void add_columns(uint32_t keys, uint32_t weights, Sums<kColumns, kTiles>& sums) {
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int row = (lane >> 3 & 1) * 8 + (lane & 7);
  const int word = (lane >> 4 ^ Rows<kKeyDim>::twist(row)) << 4, weight_word = (lane >> 4 ^ Rows<kRun>::twist(row))
                                                                               << 4;
  keys += row * Rows<kKeyDim>::kBytes;
  weights += row * Rows<kRun>::kBytes;
#pragma unroll
  for (int k = 0; k < kRun / 16; ++k) {
    uint32_t a[kTiles][4];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      load_matrices(a[m], weights + (weight_word ^ k << 5) + m * 16 * Rows<kRun>::kBytes);
    }
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      uint32_t b[4];
      load_transposed(b, keys + (word ^ (warp * (kColumns / 16) + n) << 5) + k * 16 * Rows<kKeyDim>::kBytes);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        mma_bf16(sums.values[m][2 * n], a[m][0], a[m][1], a[m][2], a[m][3], b[0], b[1]);
        mma_bf16(sums.values[m][2 * n + 1], a[m][0], a[m][1], a[m][2], a[m][3], b[2], b[3]);
      }
    }
  }
}

// Shared memory of the epilogue: the rows' values, and each warp's share of the sums.
struct EndMemory {
  float *values, *shares;
};

// Writes the outputs, or the partial sums, through the keys' shared memory. That takes few instructions, which matters:
// a step's weights have evicted them from the caches.
template <int kTiles>
__device__ __forceinline__ void end_latent(const TileShape& s, const Tile& tile, int used,
                                           const Sums<kColumns, kTiles>& sums, EndMemory memory) {
  constexpr int kStride = kValueDim + 8, kWords = kValueDim / 4;
  static_assert(kTiles * 16 * kStride * static_cast<int>(sizeof(float)) <= LatentMemory<kTiles * 16, false>::kQueries);
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const Partial<kValueDim> partial(s, tile, tile.split);
#pragma unroll
  for (int i = 0; i < 2 * kTiles; ++i) {
    const int m = i / 2, h = i % 2, row = row_of(m, h);
    if (lane % 4 == 0) memory.shares[warp * kTiles * 16 + row] = sums.sum[m][h];
    if (used > 1 && warp == 0 && lane % 4 == 0 && row < s.rows) partial.heads(s)[row].x = sums.max[m][h];
    float* const to = memory.values + row * kStride + warp * kColumns + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      *reinterpret_cast<float2*>(to + n * 8) = {sums.values[m][n][2 * h], sums.values[m][n][2 * h + 1]};
    }
  }
  __syncthreads();
  constexpr int kAcross = 8;  // threads of a row
#pragma unroll 1
  for (int row = static_cast<int>(threadIdx.x) / kAcross; row < s.rows; row += kThreads / kAcross) {
    float total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += memory.shares[w * kTiles * 16 + row];
    const RowPlace place = place_of(s, tile, row);
    const float part = used > 1 ? 1.0f : total > 0 ? 1.0f / total : 0.0f;
    const auto each = [&](auto put) {
#pragma unroll 4
      for (int word = static_cast<int>(threadIdx.x) % kAcross; word < kWords; word += kAcross) {
        const float4 v = reinterpret_cast<const float4*>(memory.values + row * kStride)[word];
        put(word * 4, make_float4(v.x * part, v.y * part, v.z * part, v.w * part));
      }
    };
    const int64_t col = static_cast<int64_t>(place.head) * kValueDim;
    if (used > 1) {
      if (threadIdx.x % kAcross == 0) partial.heads(s)[row].y = total;
      each([&](int c, float4 v) { *reinterpret_cast<float4*>(partial.values + row * kValueDim + c) = v; });
    } else if (place.token >= 0) {
      each([&](int c, float4 v) { put_four(s, place.token, col + c, v); });
    }
  }
}

template <int kTiles, bool kPacked>
__global__ void __launch_bounds__(kThreads, 1) mla_kernel(const __grid_constant__ TileShape s) {
  constexpr int kRows = kTiles * 16;
  using M = LatentMemory<kRows, kPacked>;
  extern __shared__ __align__(128) unsigned char memory[];
  // Key positions depend on the step's inputs alone, so they are looked up before the wait.
  const int64_t table_cols = table_cols_of(s.p);
  const Tile tile = s.single ? find_single(s) : find_tile(s);
  if (tile.seq < 0) return wait_for_input();
  const Split split = split_of(keys_of_tile(s, tile), tile.splits, tile.split, kRun, s.least_keys);
  if (tile.split >= split.used) return wait_for_input();

  const int warp = static_cast<int>(threadIdx.x) / kWarp, first = split.begin;
  const int runs = (split.end - first + kRun - 1) / kRun;
  const uint32_t base = shared_place(memory);
  Slices<kKeyDim, true, kPacked> fetcher(s, tile, split, table_cols);
  let_next_begin();
  wait_for_input();
  if (runs > 0) fetcher.fetch(0, M::arrives(base, 0), 0);
  end_group();
  auto* const seen = reinterpret_cast<KeyRange*>(memory + M::kSeen);
  auto* const shared = reinterpret_cast<float*>(memory + M::kShared);
  begin_rows<kKeyDim, kRows>(s, tile, split, memory + M::kQueries, seen);
  Sums<kColumns, kTiles> sums;
  sums.clear();
  for (int i = 0; i < runs; ++i) {
    wait_groups<0>();
    __syncthreads();  // the run is there, and the one before is done with
    if (i + 1 < runs) fetcher.fetch(i + 1, M::arrives(base, (i + 1) % 2), 0);
    end_group();
    const uint32_t own = M::own_rows(base, i % 2);
    if constexpr (kPacked) {
      fetcher.unpack(i, M::arrives(base, i % 2), own, 0);
      __syncwarp();
    }
    Scores<kTiles, kSlice> scores;
    score<kKeyDim, kTiles, kSlice>(base + M::kQueries, own, scores);
    hide<kTiles, kSlice>(seen, first + i * kRun + warp * kSlice, scores);
    share_maxima<kTiles>(scores, shared);
    __syncthreads();
    weigh_run<kTiles>(s.scale, shared, scores, sums, memory + M::kWeights);
    __syncthreads();
    add_columns<kTiles>(M::rows(base, i % 2), base + M::kWeights, sums);
  }
  sums.end(s.scale);
  wait_groups<0>();
  __syncthreads();
  end_latent<kTiles>(s, tile, split.used, sums, {reinterpret_cast<float*>(memory), shared});
  if (split.used == 1) return;
  merge_splits<kValueDim, 8>(s, tile, split.used, reinterpret_cast<float2*>(memory));
}

template <int kTiles, bool kPacked>
void launch_pages(TileShape s, cudaStream_t stream, bool may_cut) {
  using M = LatentMemory<kTiles * 16, kPacked>;
  allow_shared<mla_kernel<kTiles, kPacked>>(M::kBytes);
  s.least_keys = (s.single ? 2 : 4) * kRun;
  // A merge costs as much as four runs of keys. An unsplit sequence need not look at the others.
  s.uncut_keys = s.single ? kUncutKeys : 2 * s.least_keys - 1;
  const dim3 grid = shape_grid(s, kTiles * 16, kValueDim, 2, may_cut);
  launch<M>(mla_kernel<kTiles, kPacked>, grid, s, stream);
}

template <int kTiles>
void launch_latent(const TileShape& s, cudaStream_t stream, bool may_cut = true) {
  s.p.kv.packed() ? launch_pages<kTiles, true>(s, stream, may_cut) : launch_pages<kTiles, false>(s, stream, may_cut);
}

}  // namespace

bool mla_fits(const AttentionProblem& p) {
  const Kv& kv = p.kv;
  return kv.latent && kv.key_dim == kKeyDim && kv.value_dim == kValueDim && p.params.sinks == nullptr && in_tiles(p);
}

// A query of 16 heads fills a tile.
void mla_decode(const AttentionProblem& p, cudaStream_t stream) { launch_latent<1>(shape_of(p), stream); }

// Two queries share each run of keys.
void mla_prefill(const AttentionProblem& p, cudaStream_t stream) { launch_latent<2>(shape_of(p), stream); }

bool mla_ordered_fits(const AttentionProblem& p) { return mla_fits(p) && p.params.window == 0 && p.params.chunk == 0; }

// Both tiles add in runs of 64 keys from the first key on.
void mla_ordered(const AttentionProblem& p, cudaStream_t stream) {
  const TileShape s = shape_of(p);
  if (s.single) return launch_latent<1>(s, stream, false);
  launch_latent<2>(s, stream, false);
}

void mla_narrow(const AttentionProblem& p, int most, cudaStream_t stream) {
  TileShape s = shape_of(p);
  s.to = most;
  launch_latent<1>(s, stream);
}

}  // namespace polymath::backend::cuda
