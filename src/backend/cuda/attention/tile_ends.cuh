#pragma once

// Shared by the tensor-core kernels: grid sizes, the launch, and the merge of a tile's splits.

#include <algorithm>
#include <numeric>

#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {

// Two adjacent elements of an output row; `col` is even.
__device__ __forceinline__ void put_pair(const TileShape& s, int64_t row, int64_t col, float a, float b) {
  const Matrix& out = s.p.out;
  if (out.type == Type::kF32) {
    *reinterpret_cast<float2*>(static_cast<float*>(out.data) + row * out.stride + col) = {a, b};
  } else {
    *reinterpret_cast<uint32_t*>(static_cast<__nv_bfloat16*>(out.data) + row * out.stride + col) = two_bf16(a, b);
  }
}
__device__ __forceinline__ void put_four(const TileShape& s, int64_t row, int64_t col, float4 v) {
  put_pair(s, row, col, v.x, v.y);
  put_pair(s, row, col + 2, v.z, v.w);
}

// A split's partial sums: [rows][kDim] under each row's maximum, then [rows] of {maximum, sum}.
template <int kDim>
struct Partial {
  float* values;
  __device__ __forceinline__ Partial(const TileShape& s, const Tile& tile, int split) {
    const int64_t unit = split == 0 ? tile.unit : tile.rest + (split - 1) * static_cast<int64_t>(gridDim.x);
    values = s.p.partial + unit * s.rows * (kDim + 4);
  }
  __device__ __forceinline__ float2* heads(const TileShape& s) const {
    return reinterpret_cast<float2*>(values + s.rows * kDim);
  }
};

// Called by all threads once their partial sums are written. The last block of the tile writes the output; it adds in
// the order of the splits. `heads`: shared memory, [splits][rows]; kItems: words of a thread in flight together.
template <int kDim, int kItems>
__device__ __forceinline__ void merge_splits(const TileShape& s, const Tile& tile, int used, float2* heads) {
  if (!is_last(s.p.counters + tile.unit, static_cast<unsigned>(used))) return;
  for (int i = threadIdx.x; i < used * s.rows; i += kThreads) {
    heads[i] = __ldcg(Partial<kDim>(s, tile, i / s.rows).heads(s) + i % s.rows);
  }
  __syncthreads();
  for (int row = threadIdx.x; row < s.rows; row += kThreads) {
    float top = negative_infinity(), total = 0;
    for (int i = 0; i < used; ++i) top = fmaxf(top, heads[i * s.rows + row].x);
    if (top == negative_infinity()) top = 0;
    for (int i = 0; i < used; ++i) {
      float2& head = heads[i * s.rows + row];
      head.x = power_of_two(head.x - top);  // from here on a factor
      total += head.y * head.x;
    }
    for (int i = 0; i < used; ++i) heads[i * s.rows + row].x *= total > 0 ? 1.0f / total : 0.0f;
  }
  __syncthreads();
  constexpr int kDeep = 16 / kItems;  // splits in flight together
  // Not unrolled: a step runs this code once, so its instructions come from memory.
#pragma unroll 1
  for (int first = threadIdx.x; first < s.rows * (kDim / 4); first += kItems * kThreads) {
    float4 sums[kItems]{};
#pragma unroll 1
    for (int split = 0; split < used; split += kDeep) {
      float4 v[kDeep][kItems];
#pragma unroll
      for (int n = 0; n < kDeep * kItems; ++n) {
        const int k = n / kItems, i = n % kItems, at = min(first + i * kThreads, s.rows * (kDim / 4) - 1);
        const Partial<kDim> partial(s, tile, min(split + k, used - 1));
        v[k][i] = __ldcg(reinterpret_cast<const float4*>(partial.values) + at);
      }
#pragma unroll
      for (int n = 0; n < kDeep * kItems; ++n) {
        const int k = n / kItems, i = n % kItems, row = min((first + i * kThreads) / (kDim / 4), s.rows - 1);
        const float f = split + k < used ? heads[(split + k) * s.rows + row].x : 0.0f;
        sums[i] = {sums[i].x + v[k][i].x * f, sums[i].y + v[k][i].y * f, sums[i].z + v[k][i].z * f,
                   sums[i].w + v[k][i].w * f};
      }
    }
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int at = first + i * kThreads;
      const RowPlace place = place_of(s, tile, at / (kDim / 4));
      if (place.token < 0) continue;
      put_four(s, place.token, static_cast<int64_t>(place.head) * kDim + at % (kDim / 4) * 4, sums[i]);
    }
  }
}

template <typename M>
void launch(void (*kernel)(TileShape), dim3 grid, const TileShape& s, cudaStream_t stream) {
  constexpr int kHeads = kSplitsMax * 128 * static_cast<int>(sizeof(float2));  // of merge_splits
  static_assert(M::kBytes <= 227 * 1024 && M::kQueries >= kHeads);
  launch_after(kernel, {grid, dim3(kThreads), M::kBytes, stream}, s);
}

// Upper bound of the tiles of all sequences.
inline int64_t tiles_of(const TileShape& s) {
  if (s.single || s.to <= s.queries) return s.p.n_seqs;
  const int64_t n = s.p.n_tokens, longer = n / (s.from > 0 ? s.from : 1);
  const int64_t most = n / s.queries + (longer < s.p.n_seqs ? longer : s.p.n_seqs);
  return n < most ? n : most;
}

// Tile rows, and a grid that depends on the step's shape alone. A block a tile, plus the splits that fill the GPU. A
// prompt's tiles are split by its longest one, so that there may be twice as many.
inline dim3 shape_grid(TileShape& s, int rows, int dim, int blocks_each = 2, bool may_cut = true) {
  s.heads = s.group < rows ? s.group : rows;
  s.queries = s.single ? 1 : rows / s.heads;
  s.rows = s.heads * s.queries;
  s.head_tiles = static_cast<int>(ceil_div(s.group, s.heads));
  const int64_t tiles = tiles_of(s), across = static_cast<int64_t>(s.p.kv.n_kv_heads) * s.head_tiles;
  const int64_t slots = blocks_each * s.p.n_multiprocessors;
  int64_t more = (s.single ? 1 : 2) * ceil_div(slots, across);
  if (s.single) {  // idle blocks cost little, but delay the next kernel
    const int64_t splits = s.p.keys_most > 0 && s.least_keys > 0 ? s.p.keys_most / s.least_keys : kSplitsMax;
    more = std::clamp<int64_t>(tiles * (std::min<int64_t>(splits, kSplitsMax) - 1), 0, more);
  }
  const int64_t units = (tiles + more) * across;
  s.cuts =
      may_cut && s.p.counters != nullptr && units <= s.p.n_counters && units * s.rows * (dim + 4) <= s.p.partial_floats;
  s.slot_part = static_cast<float>(across) / static_cast<float>(slots);
  return dim3(static_cast<unsigned>(across), static_cast<unsigned>(tiles + (s.cuts ? more : 0)));
}

// The part that depends on the problem alone.
inline TileShape shape_of(const AttentionProblem& p) {
  TileShape s{};
  s.p = p;
  s.group = p.params.n_heads / p.kv.n_kv_heads;
  s.single = p.n_tokens == p.n_seqs;
  s.scale = p.params.scale * 1.4426950408889634f;
  const uint64_t pages = static_cast<uint64_t>(p.kv.block_size / kPage);
  s.pages_part = ((uint64_t{1} << 32) + pages - 1) / pages;
  return s;
}

// Which sequences of a step with prompts have so few queries that tiles of 16 rows suit them. If averages show that one
// kind dominates, its kernel takes all sequences and saves a launch.
struct NarrowShare {
  int most;  // queries of such a sequence; -1: there are none
  bool all;  // every sequence is taken
};
inline NarrowShare narrow_share(const AttentionProblem& p) {
  constexpr int kFew = 64, kMany = 64;  // queries beyond one a sequence; a sequence's, on average
  const int group = p.params.n_heads / p.kv.n_kv_heads;
  const int few_queries = group >= kNarrowRows ? 1 : kNarrowRows / group;
  if (p.n_tokens - p.n_seqs < kFew && p.n_tokens <= 2 * few_queries * p.n_seqs) return {INT_MAX, true};
  if (p.n_seqs == 1 || p.n_tokens / p.n_seqs >= kMany) return {-1, false};
  return {few_queries, false};
}

// Full tiles of the step's queries, over all heads.
inline int64_t tiles_of_rows(const AttentionProblem& p, int rows) {
  return static_cast<int64_t>(p.n_tokens) * p.params.n_heads / rows;
}

// A bf16 cache in whole pages, queries in 16-byte words, outputs in pairs, and a grid that holds the step.
inline bool in_tiles(const AttentionProblem& p) {
  return p.kv.type == Type::kBf16 && p.kv.block_size % kPage == 0 && reinterpret_cast<uintptr_t>(p.kv.data) % 16 == 0 &&
         p.q.type != Type::kF16 && rows_aligned(p.q, 16) && p.out.type != Type::kF16 &&
         rows_aligned(p.out, 2 * type_bytes(p.out.type)) && p.params.scale > 0 && p.n_tokens + p.n_seqs <= 65535;
}

}  // namespace polymath::backend::cuda
