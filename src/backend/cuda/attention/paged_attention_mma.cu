// Attention over a paged bf16 cache on tensor cores. A tile has queries of one sequence, of the heads that share a kv
// head. A block walks over its keys with the running softmax in registers. Each warp fetches 16 of every 64 keys ahead.
//  narrow_kernel: 16 rows. A warp multiplies only the keys that it fetched; the warps' sums are merged at the end.
//                 For few tokens a sequence: bound by memory.
//  wide_kernel: 64 or 128 rows, each warp its own, over all 64 keys. For prompts: bound by compute. Keys of a tile are
// split so that all blocks do about the same work. A CUDA graph is replayed with longer contexts: each block sums the
// step's keys to find its tile and split. The last block of a tile merges its splits. Steps of one token a sequence:
// paged_attention_decode.cu.

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/attention/tile_ends.cuh"

namespace polymath::backend::cuda {
namespace {

// Merges the four warps' sums of the same rows over different keys, in the order of the warps.
template <int kDim>
__device__ __forceinline__ void merge_warps(const TileShape& s, const Tile& tile, int used, const Sums<kDim, 1>& sums,
                                            float* memory) {
  constexpr int kStride = kDim + 8;  // lanes that write at once meet different banks
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  float2* const heads = reinterpret_cast<float2*>(memory + kWarps * kNarrowRows * kStride);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = h * 8 + lane / 4, place = warp * kNarrowRows + row;
    if (row >= s.rows) continue;
    if (lane % 4 == 0) heads[place] = {sums.max[0][h], sums.sum[0][h]};
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(memory + place * kStride + n * 8 + lane % 4 * 2) = {sums.values[0][n][2 * h],
                                                                                     sums.values[0][n][2 * h + 1]};
    }
  }
  __syncthreads();
  const Partial<kDim> partial(s, tile, tile.split);
  for (int i = threadIdx.x; i < s.rows * (kDim / 2); i += kThreads) {
    const int row = i / (kDim / 2), col = i % (kDim / 2) * 2;
    float top = negative_infinity(), total = 0, a = 0, b = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) top = fmaxf(top, heads[w * kNarrowRows + row].x);
    const float base = top == negative_infinity() ? 0.0f : top;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float2 head = heads[w * kNarrowRows + row];
      const float factor = power_of_two(head.x - base);
      const float2 v = *reinterpret_cast<const float2*>(memory + (w * kNarrowRows + row) * kStride + col);
      total += head.y * factor;
      a += v.x * factor;
      b += v.y * factor;
    }
    if (used > 1) {
      *reinterpret_cast<float2*>(partial.values + row * kDim + col) = {a, b};
      if (col == 0) partial.heads(s)[row] = {top, total};
      continue;
    }
    const RowPlace place = place_of(s, tile, row);
    const float part = total > 0 ? 1.0f / total : 0.0f;
    if (place.token >= 0) put_pair(s, place.token, static_cast<int64_t>(place.head) * kDim + col, a * part, b * part);
  }
}

// Three blocks an SM hide each other's start and end better than two with more stages.
template <int kDim>
constexpr int kNarrowBlocks = kDim <= 128 ? 3 : 1;
template <int kDim>
constexpr int kNarrowStages = kDim == 64    ? 4
                              : kDim <= 128 ? 2
                                            : 3;
template <int kDim, bool kPacked>
using NarrowMemory = Memory<kDim, kNarrowStages<kDim>, kNarrowRows, kPacked>;

template <int kDim, bool kPacked>
__global__ void __launch_bounds__(kThreads, kNarrowBlocks<kDim>) narrow_kernel(const __grid_constant__ TileShape s) {
  using M = NarrowMemory<kDim, kPacked>;
  constexpr int kStages = M::kStages;
  extern __shared__ __align__(128) unsigned char memory[];
  // Key positions depend on the step's inputs alone, so they are looked up before the wait.
  const int64_t table_cols = table_cols_of(s.p);  // in flight beside the loads that find the tile
  const Tile tile = find_tile(s);
  if (tile.seq < 0) return;  // those that work wait for all
  const Split split = split_of(keys_of_tile(s, tile), tile.splits, tile.split, kRun, s.least_keys);
  if (tile.split >= split.used) return;

  const int warp = static_cast<int>(threadIdx.x) / kWarp, first = split.begin;
  const int slices = (split.end - first + kSlice - 1) / kSlice, mine = (slices - warp + kWarps - 1) / kWarps;
  const uint32_t base = shared_place(memory);
  Slices<kDim, false, kPacked> fetcher(s, tile, split, table_cols);
  wait_for_input();
#pragma unroll
  for (int i = 0; i < kStages; ++i) {
    if (i < mine) fetcher.fetch(i, M::arrives(base, i), M::arrives(base, i) + M::kHalf);
    end_group();
  }
  auto* const seen = reinterpret_cast<KeyRange*>(memory + M::kSeen);
  begin_rows<kDim, kNarrowRows>(s, tile, split, memory + M::kQueries, seen);
  Sums<kDim, 1> sums;
  begin_sums(s, tile, 0, warp == 0 && tile.split == 0, sums);
  __syncthreads();
  let_next_begin();  // not sooner: the next kernel's prefetch would delay the keys
  int stage = 0;
  for (int i = 0; i < mine; ++i) {
    wait_groups<kStages - 1>();
    __syncwarp();  // all lanes' words are there
    const uint32_t at = M::own_rows(base, stage), arrived = M::arrives(base, stage);
    if constexpr (kPacked) {
      fetcher.unpack(i, arrived, at, at + M::kHalf);
      __syncwarp();
    }
    Scores<1, kSlice> scores;
    score<kDim, 1, kSlice>(base + M::kQueries, at, scores);
    hide<1, kSlice>(seen, first + (i * kWarps + warp) * kSlice, scores);
    weigh<kDim, 1, kSlice>(s.scale, scores, sums);
    add_values<kDim, 1, kSlice>(at + M::kHalf, scores, sums);
    __syncwarp();  // the slice is read
    if (i + kStages < mine) fetcher.fetch(i + kStages, arrived, arrived + M::kHalf);
    end_group();
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  sums.end(s.scale);
  wait_groups<0>();
  __syncthreads();  // the stages become the sums' place
  merge_warps<kDim>(s, tile, split.used, sums, reinterpret_cast<float*>(memory));
  if (split.used == 1) return;
  merge_splits<kDim, 1>(s, tile, split.used, reinterpret_cast<float2*>(memory));
}

// Divides row (m, h) by its sum and writes it as head `place.head` of its token.
template <int kDim, int kTiles>
__device__ __forceinline__ void write_row(const TileShape& s, const RowPlace& place, const Sums<kDim, kTiles>& sums,
                                          int m, int h) {
  const float part = sums.sum[m][h] > 0 ? 1.0f / sums.sum[m][h] : 0.0f;
  const int64_t col = static_cast<int64_t>(place.head) * kDim + threadIdx.x % 4 * 2;
  if (s.p.out.type == Type::kF32) {  // asked once a row
    float* to = static_cast<float*>(s.p.out.data) + place.token * s.p.out.stride + col;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(to + n * 8) = {sums.values[m][n][2 * h] * part, sums.values[m][n][2 * h + 1] * part};
    }
    return;
  }
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
    put_pair(s, place.token, col + n * 8, sums.values[m][n][2 * h] * part, sums.values[m][n][2 * h + 1] * part);
  }
}

template <int kDim, int kTiles>
__device__ __forceinline__ void end_wide(const TileShape& s, const Tile& tile, int used,
                                         const Sums<kDim, kTiles>& sums) {
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const Partial<kDim> partial(s, tile, tile.split);
#pragma unroll
  for (int i = 0; i < 2 * kTiles; ++i) {
    const int m = i / 2, h = i % 2, row = (warp * kTiles + m) * 16 + h * 8 + lane / 4;
    const RowPlace place = place_of(s, tile, row);
    if (used == 1 && place.token >= 0) write_row(s, place, sums, m, h);
    if (used == 1 || row >= s.rows) continue;
    if (lane % 4 == 0) partial.heads(s)[row] = {sums.max[m][h], sums.sum[m][h]};
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(partial.values + row * kDim + n * 8 + lane % 4 * 2) = {sums.values[m][n][2 * h],
                                                                                        sums.values[m][n][2 * h + 1]};
    }
  }
}

template <int kDim, int kTiles, bool kPacked>
using WideMemory = Memory<kDim, 2, kWarps * kTiles * 16, kPacked>;

template <int kDim, int kTiles, bool kPacked>
__global__ void __launch_bounds__(kThreads, kDim <= 128 ? 2 : 1) wide_kernel(const __grid_constant__ TileShape s) {
  using M = WideMemory<kDim, kTiles, kPacked>;
  extern __shared__ __align__(128) unsigned char memory[];
  wait_for_input();
  const int64_t table_cols = table_cols_of(s.p);  // in flight beside the loads that find the tile
  const Tile tile = find_tile(s);
  if (tile.seq < 0) return;
  const Split split = split_of(keys_of_tile(s, tile), tile.splits, tile.split, kRun, s.least_keys);
  if (tile.split >= split.used) return;

  const int warp = static_cast<int>(threadIdx.x) / kWarp, first = split.begin;
  const int runs = (split.end - first + kRun - 1) / kRun;
  const uint32_t base = shared_place(memory);
  Slices<kDim, false, kPacked> fetcher(s, tile, split, table_cols);
  if (runs > 0) fetcher.fetch(0, M::arrives(base, 0), M::arrives(base, 0) + M::kHalf);
  end_group();
  auto* const seen = reinterpret_cast<KeyRange*>(memory + M::kSeen);
  begin_rows<kDim, kWarps * kTiles * 16>(s, tile, split, memory + M::kQueries, seen);
  Sums<kDim, kTiles> sums;
  begin_sums(s, tile, warp * kTiles * 16, tile.split == 0, sums);
  __syncthreads();
  const KeyRange* const seen_here = seen + warp * kTiles * 16;
  const WarpView view = view_of<kTiles>(seen_here);
  const uint32_t queries = base + M::kQueries + warp * kTiles * 16 * Rows<kDim>::kBytes;
  for (int i = 0; i < runs; ++i) {
    wait_groups<0>();
    __syncthreads();  // the run is there, and the one before is read
    const uint32_t next = M::arrives(base, (i + 1) % 2), at = M::rows(base, i % 2);
    const int key = first + i * kRun;
    if (i + 1 < runs) fetcher.fetch(i + 1, next, next + M::kHalf);
    end_group();
    if constexpr (kPacked) {
      fetcher.unpack(i, M::arrives(base, i % 2), M::own_rows(base, 0), M::own_rows(base, 0) + M::kHalf);
      __syncthreads();
    }
    if (key >= view.any.end || key + kRun <= view.any.begin) continue;
    Scores<kTiles, kRun> scores;
    score<kDim, kTiles, kRun>(queries, at, scores);
    if (key < view.all.begin || key + kRun > view.all.end) hide<kTiles, kRun>(seen_here, key, scores);
    weigh<kDim, kTiles, kRun>(s.scale, scores, sums);
    add_values<kDim, kTiles, kRun>(at + M::kHalf, scores, sums);
  }
  sums.end(s.scale);
  end_wide<kDim, kTiles>(s, tile, split.used, sums);
  if (split.used == 1) return;
  merge_splits<kDim, 8>(s, tile, split.used, reinterpret_cast<float2*>(memory));
}

template <int kDim, bool kPacked>
void launch_narrow(TileShape s, cudaStream_t stream) {
  using M = NarrowMemory<kDim, kPacked>;
  allow_shared<narrow_kernel<kDim, kPacked>>(M::kBytes);
  s.least_keys = 2 * kRun;
  const dim3 grid = shape_grid(s, kNarrowRows, kDim);
  launch<M>(narrow_kernel<kDim, kPacked>, grid, s, stream);
}

template <int kDim, int kTiles, bool kPacked>
void launch_wide(TileShape s, cudaStream_t stream) {
  using M = WideMemory<kDim, kTiles, kPacked>;
  allow_shared<wide_kernel<kDim, kTiles, kPacked>>(M::kBytes);
  s.least_keys = 4 * kRun;  // sums of many rows
  const dim3 grid = shape_grid(s, kWarps * kTiles * 16, kDim);
  launch<M>(wide_kernel<kDim, kTiles, kPacked>, grid, s, stream);
}

// Sequences of few queries go to the narrow kernel, the others to the wide one.
template <int kDim, bool kPacked>
void launch_both(TileShape s, cudaStream_t stream) {
  const NarrowShare narrow = narrow_share(s.p);
  s.to = narrow.most;
  if (narrow.most >= 0) launch_narrow<kDim, kPacked>(s, stream);
  if (narrow.all) return;
  s.from = s.to + 1;
  s.to = INT_MAX;
  if constexpr (kDim <= 128) {
    if (tiles_of_rows(s.p, 128) >= s.p.n_multiprocessors) return launch_wide<kDim, 2, kPacked>(s, stream);
  }
  launch_wide<kDim, 1, kPacked>(s, stream);
}

// Calls `run` with the head size of a problem that fits, and whether its cache is packed.
template <typename Run>
void with_head_size(const AttentionProblem& p, Run run) {
  const auto with = [&](auto dim) { p.kv.packed() ? run(dim, std::true_type()) : run(dim, std::false_type()); };
  switch (p.kv.key_dim) {
    case 64:
      return with(std::integral_constant<int, 64>());
    case 96:
      return with(std::integral_constant<int, 96>());
    case 128:
      return with(std::integral_constant<int, 128>());
    default:
      return with(std::integral_constant<int, 256>());
  }
}

}  // namespace

bool paged_attention_mma_fits(const AttentionProblem& p) {
  const Kv& kv = p.kv;
  const bool dim = kv.key_dim == 64 || kv.key_dim == 96 || kv.key_dim == 128 || kv.key_dim == 256;
  return dim && kv.value_dim == kv.key_dim && !kv.latent && in_tiles(p);
}

void paged_attention_mma(const AttentionProblem& p, cudaStream_t stream) {
  with_head_size(p, [&](auto dim, auto packed) { launch_both<dim, packed>(shape_of(p), stream); });
}

void paged_attention_narrow(const AttentionProblem& p, int most, cudaStream_t stream) {
  TileShape s = shape_of(p);
  s.to = most;
  with_head_size(p, [&](auto dim, auto packed) { launch_narrow<dim, packed>(s, stream); });
}

}  // namespace polymath::backend::cuda
