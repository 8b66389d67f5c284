#pragma once

// GEMM of up to 64 rows with a bf16 weight, or of more with a packed one (wgmma, TMA). Bound by the weight's bytes, and
// short enough that its start counts.
//
// A block has 64 weight rows as wgmma's 64-row operand and up to 64 of x's rows as the other. It has a split-K part of
// the inputs. A cluster's blocks share the rows. One thread copies stages of 64 inputs into a ring. No kernel of the
// step writes weights, so the first stages' are copied before the wait. Later ones are prefetched into the L2 cache.
//
// The epilogue cuts the tile of sums into units of 16 rows by 8 tokens, four registers a lane. The cluster's blocks own
// the units in turn. Each block sends its partial sums to the owner by st.async. An mbarrier counts the bytes, so no
// fence is needed. The owner adds them in the order of the parts. They arrive in a stage that is no longer read.

#include "backend/cuda/cluster.cuh"
#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/epilogue.cuh"
#include "backend/cuda/linear/linear.h"
#include "backend/cuda/linear/weight_operand.cuh"
#include "backend/cuda/tensor_map.h"

namespace polymath::backend::cuda {
namespace small_m {

constexpr int kConsumers = 128, kThreads = kConsumers + kWarp;  // a warpgroup that multiplies, a warp that copies
constexpr int kConsumerWarps = kConsumers / kWarp;
constexpr int kRows = kTileRows;                               // of the weight
constexpr int kInputs = kTileInputs, kRowBytes = kInputs * 2;  // of a stage
constexpr int kPartsMost = 8;                                  // of the inputs; always a power of two
constexpr int kAheadInL2 = 8;                                  // stages past the ring's
constexpr int kBlocksAnSm = 3;
constexpr int kBlockBytes = (228 << 10) / kBlocksAnSm - (1 << 10);  // the system has 1 KiB a block
constexpr int kHeadBytes = 1 << 10;                                 // before the stages, which are aligned so
constexpr int kUnitRows = 16, kUnitTokens = 8;

// For at most kTokens rows of x. W: the weight's operand.
template <class W, int kTokens>
struct Form {
  static constexpr int kUnits = kRows / kUnitRows * (kTokens / kUnitTokens);
  // A block receives all parts of its units in one stage: as many bytes as one part of all.
  static constexpr int kSumBytes = kUnits * kWarp * static_cast<int>(sizeof(float4));
  static constexpr int kOperandBytes = W::kStageBytes + kTokens * kRowBytes;
  static constexpr int kStageBytes = kOperandBytes > kSumBytes ? kOperandBytes : kSumBytes;
  static constexpr int kStages = (kBlockBytes - kHeadBytes) / kStageBytes;
  static_assert(kUnits % kPartsMost == 0 && kStages >= 2);
};

template <class W, int kTokens>
struct Ring {
  uint64_t full[Form<W, kTokens>::kStages], empty[Form<W, kTokens>::kStages];
  uint64_t sums;  // have come, from the whole cluster
};

// First and last members are read early, so that the constant cache has those between for the epilogue.
struct SmallMGemm {
  int log_parts, tokens, rows;
  LinearEpilogue epilogue;
  Matrix y;
  int stages, longer;  // of a part; the first `longer` parts have one more
  CellsAt cells;       // of a packed weight
  int token_tiles;     // packed: blocks of kTokens rows of x, side by side; else one
};

// A block's tile.
struct BlockTile {
  int row = 0, token = 0;  // first row of the weight, first row of x
};

struct Part {
  int begin, n;  // stages
};
__device__ __forceinline__ Part part_of(const SmallMGemm& p, int part) {
  return {part * p.stages + min(part, p.longer), p.stages + (part < p.longer ? 1 : 0)};
}
// The ring slot after a part's `n` stages is free first: the cluster's sums arrive there.
template <class F>
__device__ __forceinline__ int stage_behind(int n) {
  return max(n, F::kStages);
}
template <class F, typename Pointer>
__device__ __forceinline__ Pointer place_of_sums(Pointer stages, int n) {
  return stages + stage_behind<F>(n) % F::kStages * F::kStageBytes;
}

// Units of 16 rows by 8 tokens, four units for each 8 tokens. The cluster's blocks own them in turn; this is a block's
// `own`-th.
__device__ __forceinline__ int unit_of(const SmallMGemm& p, int own, int rank) { return (own << p.log_parts) + rank; }

// Offset of a lane's sums in a block's receive buffer: all parts of a unit, then the next.
__device__ __forceinline__ uint32_t offset_of_sums(const SmallMGemm& p, int own, int part) {
  return (unit_of(p, own, part) * kWarp + threadIdx.x % kWarp) * sizeof(float4);
}
// Bytes that a block receives.
__device__ __forceinline__ uint32_t bytes_of_sums(const SmallMGemm& p, int rank) {
  const int units = (p.tokens + kUnitTokens - 1) / kUnitTokens * kConsumerWarps;
  const int own = (units - rank + (1 << p.log_parts) - 1) >> p.log_parts;
  return (own << p.log_parts) * kWarp * sizeof(float4);
}

// --- the copying thread ---

__device__ __forceinline__ void prefetch_tensor_2d(const CUtensorMap* map, int c0, int c1) {
  asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile.L2::cache_hint [%0, {%1, %2}], %3;" ::"l"(map), "r"(c0),
               "r"(c1), "l"(read_once())
               : "memory");
}

// Waits until the ring has room for stage `s`, which is not one of the first.
template <class W, int kTokens>
__device__ __forceinline__ void wait_for_place(Ring<W, kTokens>& ring, int s) {
  constexpr int kStages = Form<W, kTokens>::kStages;
  barrier_wait(&ring.empty[s % kStages], (s / kStages + 1) % 2);
}

template <class W, int kTokens>
struct Copier {
  using F = Form<W, kTokens>;
  const OperandMaps& maps;
  Ring<W, kTokens>& ring;
  uint8_t* stages;
  Part part;
  BlockTile tile;
  const CellsAt& cells;

  __device__ __forceinline__ void begin(uint32_t all_sums) const {
    prefetch(&maps.tokens);
    if constexpr (!W::kPacked) prefetch(&maps.weights);
    for (int i = 0; i < F::kStages; ++i) {
      barrier_init(&ring.full[i], 1);
      barrier_init(&ring.empty[i], kConsumerWarps);
    }
    barrier_init(&ring.sums, 1);
    publish_barriers();
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    barrier_expect(&ring.sums, all_sums);
  }
  // Also arms the barrier for the stage's tokens.
  __device__ __forceinline__ void copy_weights(int s) const {
    uint64_t* const full = &ring.full[s % F::kStages];
    uint8_t* const to = stages + s % F::kStages * F::kStageBytes;
    if constexpr (W::kPacked) {  // each lane a slab
      constexpr int kBytes = W::Codes::kBytes;
      const int lane = threadIdx.x % kWarp, n = n_slabs();
      if (lane == 0) barrier_expect(full, n * kBytes + kTokens * kRowBytes);
      __syncwarp();
      if (lane < n) copy_bulk(to + lane * kBytes, cell(lane, part.begin + s), kBytes, full, read_once());
    } else {
      barrier_expect(full, F::kOperandBytes);
      copy_tensor_2d(to, &maps.weights, full, (part.begin + s) * kInputs, tile.row, read_once());
    }
  }
  // Of the block's rows. The operand of missing ones is undefined, and so are their sums, which are not written.
  __device__ __forceinline__ int n_slabs() const { return min(kRows / kCellRows, cells.slabs - tile.row / kCellRows); }
  __device__ __forceinline__ const uint8_t* cell(int slab, int at) const {
    const int64_t index = static_cast<int64_t>(tile.row / kCellRows + slab) * cells.cells + at;
    return cells.data + index * W::Codes::kBytes;
  }
  __device__ __forceinline__ void copy_tokens(int s) const {
    if (W::kPacked && threadIdx.x % kWarp != 0) return;
    copy_tensor_2d(stages + s % F::kStages * F::kStageBytes + W::kStageBytes, &maps.tokens, &ring.full[s % F::kStages],
                   (part.begin + s) * kInputs, tile.token);
  }
  __device__ __forceinline__ void copy_ahead() const {
    for (int s = 0; s < min(part.n, F::kStages); ++s) copy_weights(s);
    const int end = min(part.n, F::kStages + kAheadInL2);
    if constexpr (W::kPacked) {
      if (end <= F::kStages) return;
      const auto bytes = static_cast<uint32_t>((end - F::kStages) * W::Codes::kBytes);
      const int lane = threadIdx.x % kWarp;
      if (lane < n_slabs()) prefetch_bulk(cell(lane, part.begin + F::kStages), bytes);
    } else {
      for (int s = F::kStages; s < end; ++s) prefetch_tensor_2d(&maps.weights, (part.begin + s) * kInputs, tile.row);
    }
  }
  __device__ __forceinline__ void copy_rest() const {
    for (int s = 0; s < min(part.n, F::kStages); ++s) copy_tokens(s);
    for (int s = F::kStages; s < part.n; ++s) {
      wait_for_place(ring, s);
      copy_weights(s);
      copy_tokens(s);
    }
    wait_for_place(ring, stage_behind<F>(part.n));
  }
};

// --- the multiplying warpgroup ---

template <class W, int kTokens>
__device__ __forceinline__ void multiply(Ring<W, kTokens>& ring, const uint8_t* stages, int n,
                                         float (&d)[kTokens / 2]) {
  using F = Form<W, kTokens>;
  const auto is_read = [&](int s) {
    if (threadIdx.x % kWarp == 0) barrier_arrive(&ring.empty[s % F::kStages]);
  };
  for (int s = 0; s < n; ++s) {
    barrier_wait(&ring.full[s % F::kStages], s / F::kStages % 2);
    const uint8_t* const from = stages + s % F::kStages * F::kStageBytes;
    const uint64_t weights = matrix_descriptor(from), tokens = matrix_descriptor(from + W::kStageBytes);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kInputs / 16; ++k) wgmma_bf16(d, weights + 2 * k, tokens + 2 * k);  // 32 bytes on
    wgmma_commit();
    if (s > 0) {
      wgmma_wait<1>();
      is_read(s - 1);
    }
  }
  wgmma_wait<0>();
  is_read(n - 1);
}

// The same with packed weights: each warp makes its sixteen rows' operand.
template <class W, int kTokens>
__device__ __forceinline__ void multiply_packed(Ring<W, kTokens>& ring, const uint8_t* stages, int n,
                                                float (&d)[kTokens / 2]) {
  using F = Form<W, kTokens>;
  using C = typename W::Codes;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  HalfCell halves[2];
  for (int s = 0; s < n; ++s) {
    barrier_wait(&ring.full[s % F::kStages], s / F::kStages % 2);
    const uint8_t* const from = stages + s % F::kStages * F::kStageBytes;
    const typename C::Words words = C::load(from + warp * C::kBytes);
    multiply_cell<C>(words, halves, matrix_descriptor(from + W::kStageBytes), d);
    if (s > 0 && threadIdx.x % kWarp == 0) barrier_arrive(&ring.empty[(s - 1) % F::kStages]);
  }
  wgmma_wait<0>();
  finish_sums<C>(d);
  if (threadIdx.x % kWarp == 0) barrier_arrive(&ring.empty[(n - 1) % F::kStages]);
}

// A lane's four sums of a unit: rows `row` and + 8, tokens `token` and + 1.
struct Spot {
  int row, token;
};
__device__ __forceinline__ Spot spot_of(const BlockTile& tile, int unit) {
  const int lane = threadIdx.x % kWarp;
  return {tile.row + unit % kConsumerWarps * kUnitRows + lane / 4, unit / kConsumerWarps * kUnitTokens + lane % 4 * 2};
}

// A row of the tile in y; p.rows: past the last one.
template <class W>
__device__ __forceinline__ int output_of(const SmallMGemm& p, int row) {
  if constexpr (W::kPacked) {
    return static_cast<int>(row_of_slab(p.rows, p.cells.glu, row / kCellRows, row % kCellRows));
  }
  return row;
}

// Bias and old y, loaded ahead of the epilogue.
struct Addends {
  float bias[2], before[4];
};
template <class W>
__device__ __forceinline__ Addends fetch_addends(const SmallMGemm& p, const Spot& spot) {
  const auto* const y = static_cast<const float*>(p.y.data);  // added to, it is f32
  const float* const bias = p.epilogue.bias;
  Addends a;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = output_of<W>(p, spot.row + i / 2 * 8), token = spot.token + i % 2;
    if (i % 2 == 0) a.bias[i / 2] = bias != nullptr && row < p.rows ? bias[row] : 0.0f;
    a.before[i] = p.epilogue.accumulate && row < p.rows && token < p.tokens ? y[token * p.y.stride + row] : 0.0f;
  }
  return a;
}
template <class W>
__device__ __forceinline__ void finish(const SmallMGemm& p, const Spot& spot, const float4& sum, const Addends& a) {
  const float sums[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = output_of<W>(p, spot.row + i / 2 * 8), token = spot.token + i % 2;
    if (row >= p.rows || token >= p.tokens) continue;
    put(p.y, token, row, finished_sum(p.epilogue, sums[i] + a.bias[i / 2], a.before[i]));
  }
}

template <class W, int kTokens>
__device__ __forceinline__ void send_sums(const SmallMGemm& p, uint32_t stages, Ring<W, kTokens>& ring, int part,
                                          const float (&d)[kTokens / 2]) {
#pragma unroll
  for (int j = 0; j < kTokens / kUnitTokens; ++j) {
    if (j * kUnitTokens >= p.tokens) break;
    const int unit = j * kConsumerWarps + static_cast<int>(threadIdx.x) / kWarp, own = unit >> p.log_parts;
    const int to = unit - (own << p.log_parts);
    const uint32_t place = place_of_sums<Form<W, kTokens>>(stages, part_of(p, to).n) + offset_of_sums(p, own, part);
    send(place_in_block(place, to), place_in_block(shared_place(&ring.sums), to), d[4 * j], d[4 * j + 1], d[4 * j + 2],
         d[4 * j + 3]);
  }
}

// Of a block that has all inputs.
template <class W, int kTokens>
__device__ __forceinline__ void finish_own(const SmallMGemm& p, const BlockTile& tile, const float (&d)[kTokens / 2]) {
#pragma unroll
  for (int j = 0; j < kTokens / kUnitTokens; ++j) {
    if (j * kUnitTokens >= p.tokens) break;
    const Spot spot = spot_of(tile, j * kConsumerWarps + static_cast<int>(threadIdx.x) / kWarp);
    finish<W>(p, spot, make_float4(d[4 * j], d[4 * j + 1], d[4 * j + 2], d[4 * j + 3]), fetch_addends<W>(p, spot));
  }
}

template <class W, int kTokens>
__device__ __forceinline__ void finish_all(const SmallMGemm& p, const BlockTile& tile, const uint8_t* sums, int rank,
                                           Addends addends) {
  for (int own = static_cast<int>(threadIdx.x) / kWarp;; own += kConsumerWarps) {
    const int unit = unit_of(p, own, rank);
    if (unit / kConsumerWarps * kUnitTokens >= p.tokens) return;
    float4 parts[kPartsMost];
#pragma unroll
    for (int i = 0; i < kPartsMost; ++i) {
      parts[i] = make_float4(0, 0, 0, 0);
      if (i < 1 << p.log_parts) parts[i] = *reinterpret_cast<const float4*>(sums + offset_of_sums(p, own, i));
    }
    const int next_unit = unit_of(p, own + kConsumerWarps, rank);
    Addends next = {};
    if (next_unit / kConsumerWarps * kUnitTokens < p.tokens) next = fetch_addends<W>(p, spot_of(tile, next_unit));
    float4 sum = parts[0];
#pragma unroll
    for (int i = 1; i < kPartsMost; ++i) {
      sum = make_float4(sum.x + parts[i].x, sum.y + parts[i].y, sum.z + parts[i].z, sum.w + parts[i].w);
    }
    finish<W>(p, spot_of(tile, unit), sum, addends);
    addends = next;
  }
}

// p: of the block's rows of x alone.
template <class W, int kTokens>
__device__ __forceinline__ void run_block(const OperandMaps& maps, const SmallMGemm& p, const BlockTile& tile) {
  using F = Form<W, kTokens>;
  extern __shared__ __align__(kHeadBytes) uint8_t memory[];
  static_assert(sizeof(Ring<W, kTokens>) <= kHeadBytes);
  auto& ring = *reinterpret_cast<Ring<W, kTokens>*>(memory);
  uint8_t* const stages = memory + kHeadBytes;
  const int rank = rank_in_cluster(), warp = threadIdx.x / kWarp;
  const Part part = part_of(p, rank);
  const Copier<W, kTokens> copier{maps, ring, stages, part, tile, p.cells};
  // One thread copies, or a whole warp packed weights.
  const bool copies = W::kPacked ? warp == kConsumerWarps : threadIdx.x == kConsumers;
  if (copies) {
    if (threadIdx.x == kConsumers) copier.begin(bytes_of_sums(p, rank));
    if constexpr (W::kPacked) __syncwarp();
    copier.copy_ahead();
  }
  __syncthreads();
  let_next_begin();
  wait_for_input();
  if (warp == kConsumerWarps) {
    if (copies) copier.copy_rest();
    __syncwarp();
    cluster_arrive();
    cluster_wait();
    return;
  }
  const Addends addends = fetch_addends<W>(p, spot_of(tile, unit_of(p, warp, rank)));
  float d[kTokens / 2];
#pragma unroll
  for (int i = 0; i < kTokens / 2; ++i) d[i] = 0;
  if constexpr (W::kPacked) {
    multiply_packed<W, kTokens>(ring, stages, part.n, d);
    if (p.log_parts == 0) {
      cluster_arrive();
      cluster_wait();
      return finish_own<W, kTokens>(p, tile, d);
    }
  } else {
    multiply<W, kTokens>(ring, stages, part.n, d);
  }
  // Every block has started and has room for sums: the copying thread arrives only once its slot is free.
  cluster_arrive();
  cluster_wait();
  send_sums<W, kTokens>(p, shared_place(stages), ring, rank, d);
  wait_for_cluster(&ring.sums, 0);
  finish_all<W, kTokens>(p, tile, place_of_sums<F>(stages, part.n), rank, addends);
}

template <class W, int kTokens>
__global__ void __launch_bounds__(kThreads, kBlocksAnSm)
    gemm_small_m_kernel(const __grid_constant__ OperandMaps maps, const __grid_constant__ SmallMGemm p) {
  const int tile = static_cast<int>(blockIdx.x) >> p.log_parts;
  if constexpr (W::kPacked) {
    SmallMGemm own = p;
    const int token = tile % p.token_tiles * kTokens;
    own.tokens = min(kTokens, p.tokens - token);
    own.y.data = static_cast<uint8_t*>(p.y.data) + token * p.y.stride * type_bytes(p.y.type);
    run_block<W, kTokens>(maps, own, {tile / p.token_tiles * kRows, token});
  } else {
    run_block<W, kTokens>(maps, p, {tile * kRows, 0});
  }
}

template <class W, int kTokens>
bool launch(const SmallGemm& gemm, const SmallMGemm& p, int64_t tiles, cudaStream_t stream) {
  const Matrix& x = gemm.x;
  const WeightMatrix& w = gemm.w;
  const auto axis_of_rows = [](int64_t rows, int64_t stride, uint32_t box) {
    return MapAxis{static_cast<uint64_t>(rows), static_cast<uint64_t>(stride) * 2, box};
  };
  const MapAxis of_weights[] = {{static_cast<uint64_t>(w.cols), 0, kInputs}, axis_of_rows(w.rows, w.stride, kRows)};
  // TMA zero-fills both operands past the weight's inputs.
  const MapAxis of_tokens[] = {{static_cast<uint64_t>(min(x.cols, w.cols)), 0, kInputs},
                               axis_of_rows(x.rows, x.stride, kTokens)};
  OperandMaps maps = {};
  if (!W::kPacked && !encode_tensor_map(w.data, of_weights, 2, true, &maps.weights)) return false;
  if (!encode_tensor_map(x.data, of_tokens, 2, true, &maps.tokens)) return false;
  using F = Form<W, kTokens>;
  constexpr int kMost = kHeadBytes + F::kStages * F::kStageBytes;
  allow_shared<gemm_small_m_kernel<W, kTokens>>(kMost);
  const int stages = min(p.stages + (p.longer > 0 ? 1 : 0), F::kStages);
  const unsigned parts = 1u << p.log_parts;
  launch_after(gemm_small_m_kernel<W, kTokens>,
               {dim3(static_cast<unsigned>(tiles) * parts), dim3(kThreads),
                static_cast<size_t>(kHeadBytes + stages * F::kStageBytes), stream, parts},
               maps, p);
  return true;
}

// Split-K: log2 of the blocks that share a tile's inputs. 0: two do not fit.
inline int log_parts_of(int64_t tiles, const WeightMatrix& w, int n_multiprocessors) {
  const int64_t most = min(kBlocksAnSm * static_cast<int64_t>(n_multiprocessors) / tiles, ceil_div(w.cols, kInputs));
  int log_parts = 0;
  while (2 << log_parts <= min(most, int64_t{kPartsMost})) ++log_parts;
  return log_parts;
}
inline int64_t tiles_of(const WeightMatrix& w) {
  const int64_t rows = w.cell == Cell::kNone ? w.rows : w.grid().slabs * kCellRows;
  return ceil_div(rows, kRows);
}

template <class W>
bool run(const SmallGemm& g, int n_multiprocessors, cudaStream_t stream) {
  const WeightMatrix& w = g.w;
  const CellGrid grid = w.grid();
  const int64_t n = g.x.rows, token_tiles = ceil_div(n, kGemmSmallMRowsMax), tiles = tiles_of(w) * token_tiles;
  const auto all_stages = static_cast<int>(ceil_div(w.cols, kInputs));
  const int log_parts = log_parts_of(tiles, w, n_multiprocessors);
  const SmallMGemm p{
      .log_parts = log_parts,
      .tokens = static_cast<int>(n),
      .rows = static_cast<int>(w.rows),
      .epilogue = g.epilogue,
      .y = g.y,
      .stages = all_stages >> log_parts,
      .longer = all_stages % (1 << log_parts),
      .cells = {static_cast<const uint8_t*>(w.data), static_cast<int>(grid.slabs), static_cast<int>(grid.cells), w.glu},
      .token_tiles = static_cast<int>(token_tiles)};
  if constexpr (!W::kPacked) {
    if (n <= 16) return launch<W, 16>(g, p, tiles, stream);
  }
  if (n <= 32) return launch<W, 32>(g, p, tiles, stream);
  return launch<W, 64>(g, p, tiles, stream);
}

}  // namespace small_m
}  // namespace polymath::backend::cuda
