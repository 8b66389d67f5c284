#pragma once

// Grouped GEMM with E4M3 weights and inputs (wgmma, TMA). The codes of a cell are the operand in registers as they are.
// The tensor cores sum the inputs that share a weight's scale. These sums have few bits,
// so f32 sums take them up with the scale. The inputs' scale, one a row, is applied at the end.
//
// Tiles and roles are those of tile_sm90.cuh and grouped_gemm.cuh.

#include "backend/cuda/experts/e4m3_gemm.h"
#include "backend/cuda/experts/staged_end.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/epilogue.cuh"
#include "backend/cuda/packed/e4m3_cells.cuh"
#include "backend/cuda/packed/wgmma_e4m3.cuh"

namespace polymath::backend::cuda {
namespace e4m3 {

// Warpgroups that multiply, tokens of a tile, stages, blocks an SM, registers of a thread that multiplies.
template <class Cells_, int kGroups_, int kTokens_, int kStages_, int kBlocksAnSm_, int kRegisters_>
struct Config {
  using Cells = Cells_;
  static constexpr int kGroups = kGroups_, kTokens = kTokens_, kStages = kStages_, kBlocksAnSm = kBlocksAnSm_;
  static constexpr int kRegisters = kRegisters_, kProducerRegisters = kBlocksAnSm > 1 ? 40 : 24;
  static constexpr bool kInParts = false;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kArrivals = kGroups * kGroupThreads / kWarp;
  static constexpr int kStageCells = 2, kStageInputs = kStageCells * kCellCols;  // 128 bytes of a token
  static constexpr int kRows = kGroups * kGroupRows, kSlabs = kRows / kCellRows;
  static constexpr int kSlabBytes = kStageCells * Cells::kBytes;
  static constexpr int kWeightBytes = (kSlabs * kSlabBytes + 1023) / 1024 * 1024;  // tokens are aligned so
  static constexpr int kBoxTokens = kTokens > 64 ? 64 : 8;
  static constexpr int kStageBytes = kWeightBytes + kTokens * kRowBytes;
  static constexpr int kBlockBytes =
      kStages * kStageBytes + 1024 + kGroups * kChunkBuffers * kChunkBytes;  // 1024: to be aligned
};
template <class Cells>
using Many = Config<Cells, 2, 128, 6, 1, 240>;
template <class Cells>
using Few = Config<Cells, 1, 32, 4, 3, 120>;

struct Work {
  TiledGemm gemm;
  LinearEpilogue epilogue;
  int stage_scales = 0;  // of a slab's row in a stage: 1 or 4
};
enum class Kind { kSilu, kAnyGlu, kOutput, kLinear };

// A whole warp: each lane a slab or a box of tokens.
template <typename V>
__device__ __forceinline__ void copy(const TiledGemm& gemm, const CUtensorMap& tokens, const Tile& tile, int s,
                                     const Pipeline<V>& pipeline) {
  const int lane = threadIdx.x % kWarp;
  uint8_t* const to = pipeline.stage();
  uint64_t* const full = &pipeline.ring.full[pipeline.next.stage];
  const int boxes = (tile.n + V::kBoxTokens - 1) / V::kBoxTokens;
  const int slab = tile.row_tile * V::kSlabs, n_slabs = min(V::kSlabs, gemm.slabs - slab);
  const auto bytes = static_cast<uint32_t>(cells_of_stage<V>(gemm, s) * V::Cells::kBytes);
  if (lane == 0) barrier_expect(full, n_slabs * bytes + static_cast<uint32_t>(boxes * V::kBoxTokens * kRowBytes));
  __syncwarp();
  if (lane < n_slabs) {
    const int64_t row = static_cast<int64_t>(tile.expert) * gemm.slabs + slab + lane;
    copy_bulk(to + lane * V::kSlabBytes,
              static_cast<const uint8_t*>(gemm.p.w.data) + (row * gemm.cells + s * V::kStageCells) * V::Cells::kBytes,
              bytes, full);
  }
  static_assert(V::kSlabs + V::kTokens / V::kBoxTokens <= kWarp);
  if (const int box = lane - V::kSlabs; box >= 0 && box < boxes) {
    copy_tensor_2d(to + V::kWeightBytes + box * V::kBoxTokens * kRowBytes, &tokens, full, s * kRowBytes / 2,
                   tile.begin + box * V::kBoxTokens);
  }
}

template <typename V>
__device__ void produce(const TiledGemm& gemm, const CUtensorMap& tokens, Pipeline<V> pipeline,
                        const ExpertTiles<int>& experts, int n_tiles) {
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<V>(gemm, experts, index);
    for (int s = 0; s < gemm.stages; ++s) {
      pipeline.wait_empty();
      copy<V>(gemm, tokens, tile, s, pipeline);
      pipeline.advance();
    }
  }
}

// sums += scales * part, by rows.
template <int kSums>
__device__ __forceinline__ void add_scaled(const float (&part)[kSums], float2 scales, float (&sums)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = fmaf(part[i], i % 4 < 2 ? scales.x : scales.y, sums[i]);
}

// A stage whose inputs share a scale. `end` is called when its memory has been read.
template <class C, int kSums, typename End>
__device__ __forceinline__ void add_stage(const uint8_t* cells, uint64_t tokens, int halves, float (&sums)[kSums],
                                          End end) {
  uint32_t a[4][4];
#pragma unroll
  for (int h = 0; h < 4; ++h) C::codes(cells, h, a[h]);
  const float2 scales = C::scales(cells, 0);
  float part[kSums];
  wgmma_fence();
  wgmma_e4m3(part, a[0], tokens, false);
  wgmma_e4m3(part, a[1], tokens + 2, true);  // 32 bytes on, in words of 16
  if (halves > 2) {
    wgmma_fence();
    wgmma_e4m3(part, a[2], tokens + 4, true);
    wgmma_e4m3(part, a[3], tokens + 6, true);
  }
  wgmma_commit();
  wgmma_wait<0>();
  pin(part);
  end();
  add_scaled(part, scales, sums);
}
// A stage with a scale for each 32 inputs.
template <class C, int kSums, typename End>
__device__ __forceinline__ void add_halves(const uint8_t* cells, uint64_t tokens, int halves, float (&sums)[kSums],
                                           End end) {
  uint32_t a[4], next[4] = {};
  float part[kSums];
  C::codes(cells, 0, a);
#pragma unroll 1
  for (int h = 0; h < halves; ++h) {
    wgmma_fence();
    wgmma_e4m3(part, a, tokens + 2 * h, false);
    wgmma_commit();
    const float2 scales = C::scales(cells, h);
    if (h + 1 < halves) C::codes(cells, h + 1, next);
    wgmma_wait<0>();
    pin(part);
    add_scaled(part, scales, sums);
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = next[i];
  }
  end();
}

// The sums of one tile by one warpgroup, without the inputs' scales.
template <typename V, int kSums>
__device__ __forceinline__ void accumulate(const Work& work, Pipeline<V>& pipeline, float (&sums)[kSums]) {
  using C = typename V::Cells;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const auto is_read = [&] {
    if (threadIdx.x % kWarp == 0) barrier_arrive(&pipeline.ring.empty[pipeline.next.stage]);
  };
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = 0;
  for (int s = 0; s < work.gemm.stages; ++s) {
    pipeline.wait_full();
    const uint8_t* const cells = pipeline.stage() + warp * V::kSlabBytes;
    const uint64_t tokens = matrix_descriptor(pipeline.stage() + V::kWeightBytes);
    const int halves = 2 * cells_of_stage<V>(work.gemm, s);  // of cells: 32 inputs each
    if (C::kWideScales && work.stage_scales == 1) {
      add_stage<C>(cells, tokens, halves, sums, is_read);
    } else {
      add_halves<C>(cells, tokens, halves, sums, is_read);
    }
    pipeline.advance();
  }
}

// The end of a linear layer's tile.
template <typename V, int kColumns>
__device__ __forceinline__ void finish_linear_tile(const Work& work, const Tile& tile, const float (&d)[kColumns / 2]) {
  const ExpertGemm& p = work.gemm.p;
  const int lane = threadIdx.x % kWarp, slab = tile.row_tile * V::kSlabs + static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = row_of_slab(p.w.rows, p.w.glu, slab, lane / 4 + 8 * half);
    if (row >= p.w.rows) continue;
    const float bias = p.bias != nullptr ? p.bias[row] : 0.0f;
#pragma unroll
    for (int i = 0; i < kColumns / 4; ++i) {
      const int column = i / 2 * 8 + lane % 4 * 2 + i % 2;
      if (column >= tile.n) continue;
      const float before = work.epilogue.accumulate ? at(p.y, tile.begin + column, row) : 0.0f;
      const float sum = d[i / 2 * 4 + half * 2 + i % 2] + bias;
      put(p.y, tile.begin + column, row, finished_sum(work.epilogue, sum, before));
    }
  }
}

template <typename V, Kind kKind, int kColumns>
__device__ __forceinline__ void multiply(const Work& work, const Tile& tile, Pipeline<V>& pipeline,
                                         ChunkBuffers& buffers) {
  constexpr End kEnd = kKind == Kind::kSilu ? End::kSilu : kKind == Kind::kAnyGlu ? End::kAnyGlu : End::kOutput;
  const ExpertGemm& p = work.gemm.p;
  const int lane = threadIdx.x % kWarp, group = static_cast<int>(threadIdx.x) / kGroupThreads;
  float scales[kColumns / 4];  // of the lane's tokens; loaded before the GEMM, which hides it
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) {
    const int column = i / 2 * 8 + lane % 4 * 2 + i % 2;
    const auto* const row = static_cast<const uint16_t*>(p.x.data) + (tile.begin + column) * p.x.stride;
    scales[i] = column < tile.n ? *reinterpret_cast<const float*>(row + p.w.cols / 2) : 0.0f;
  }
  float d[kColumns / 2];
  const auto scale = [&] {
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) d[i] *= scales[i / 4 * 2 + i % 2];
  };
  if constexpr (kKind == Kind::kLinear) {
    accumulate<V>(work, pipeline, d);
    scale();
    finish_linear_tile<V, kColumns>(work, tile, d);
  } else {
    const StagedEnd<V, kEnd, false, kColumns> end(p, tile, group);
    accumulate<V>(work, pipeline, d);
    scale();
    end.finish(d, buffers);
  }
}

template <typename V, Kind kKind>
__device__ void consume(const Work& work, const ExpertTiles<int>& experts, Pipeline<V> pipeline, ChunkBuffers buffers,
                        int n_tiles) {
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<V>(work.gemm, experts, index);
    if constexpr (V::kTokens == 32) {
      if (tile.n <= 16) {
        multiply<V, kKind, 16>(work, tile, pipeline, buffers);
      } else {
        multiply<V, kKind, 32>(work, tile, pipeline, buffers);
      }
    } else {
      if (tile.n <= 64) {
        multiply<V, kKind, 64>(work, tile, pipeline, buffers);
      } else if (tile.n <= 96) {
        multiply<V, kKind, 96>(work, tile, pipeline, buffers);
      } else {
        multiply<V, kKind, 128>(work, tile, pipeline, buffers);
      }
    }
  }
}

template <typename V, Kind kKind>
__global__ void __launch_bounds__(V::kThreads, V::kBlocksAnSm)
    e4m3_gemm_kernel(const __grid_constant__ Work work, const __grid_constant__ CUtensorMap tokens) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<V> ring;
  __shared__ ExpertTiles<int> experts;
  uint8_t* const stages = begin_of_stages(memory);
  const Groups& groups = work.gemm.p.groups;
  if (threadIdx.x == 0) {
    begin_ring(ring, V::kArrivals);
    prefetch(&tokens);
  }
  let_next_begin();
  wait_for_input();
  if constexpr (kKind == Kind::kLinear) {
    if (threadIdx.x < 2) experts.pairs[threadIdx.x] = threadIdx.x == 0 ? 0 : static_cast<int>(groups.n_pairs);
  } else {
    fetch_pairs(groups, experts);
  }
  __syncthreads();
  if (threadIdx.x < kWarp) count_tiles<V>(groups.n_experts, experts);
  __syncthreads();
  const int n_tiles = experts.tiles[groups.n_experts] * work.gemm.row_tiles;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == V::kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(V::kProducerRegisters));
    if (threadIdx.x % kGroupThreads < kWarp) produce<V>(work.gemm, tokens, {stages, ring, {}}, experts, n_tiles);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(V::kRegisters));
    const uint8_t* const chunks = stages + V::kStages * V::kStageBytes;
    const ChunkBuffers buffers{shared_place(chunks + group * kChunkBuffers * kChunkBytes)};
    consume<V, kKind>(work, experts, {stages, ring, {}}, buffers, n_tiles);
  }
}

// --- on the host ---

template <typename V, Kind kKind>
bool launch(const E4m3Gemm& g, int n_multiprocessors, cudaStream_t stream) {
  const ExpertGemm& p = g.p;
  const CellGrid grid = p.w.grid();
  const auto stages = static_cast<int>(ceil_div(p.w.cols, V::kStageInputs));
  Work work{.gemm = {}, .epilogue = g.epilogue, .stage_scales = g.scale_cols % V::kStageInputs == 0 ? 1 : 4};
  work.gemm = {.p = p,
               .row_tiles = static_cast<int>(ceil_div(grid.slabs, V::kSlabs)),
               .stages = stages,
               .all_stages = stages,
               .slabs = static_cast<int>(grid.slabs),
               .cells = static_cast<int>(grid.cells)};
  // Two codes an element of the map. TMA zero-fills past the last input.
  const MapAxis of_tokens[] = {{static_cast<uint64_t>(p.w.cols / 2), 0, kRowBytes / 2},
                               {static_cast<uint64_t>(p.x.rows), static_cast<uint64_t>(p.x.stride) * 2, V::kBoxTokens}};
  CUtensorMap tokens;
  if (!encode_tensor_map(p.x.data, of_tokens, 2, true, &tokens)) return false;
  allow_shared<e4m3_gemm_kernel<V, kKind>>(V::kBlockBytes);
  const int64_t tiles = token_tiles_most<V>(p.groups) * work.gemm.row_tiles;
  const auto blocks = static_cast<unsigned>(min(tiles, static_cast<int64_t>(n_multiprocessors) * V::kBlocksAnSm));
  launch_after(e4m3_gemm_kernel<V, kKind>, {dim3(blocks), dim3(V::kThreads), V::kBlockBytes, stream}, work, tokens);
  return true;
}

template <typename V>
bool launch_kind(const E4m3Gemm& g, int n_multiprocessors, cudaStream_t stream) {
  if (g.linear) return launch<V, Kind::kLinear>(g, n_multiprocessors, stream);
  if (!g.p.first) return launch<V, Kind::kOutput>(g, n_multiprocessors, stream);
  return ends_plain(g.p) ? launch<V, Kind::kSilu>(g, n_multiprocessors, stream)
                         : launch<V, Kind::kAnyGlu>(g, n_multiprocessors, stream);
}

// Few tokens an expert: bound by the weights' bytes, so more and smaller blocks.
template <class Cells>
bool run(const E4m3Gemm& g, int n_multiprocessors, cudaStream_t stream) {
  constexpr int64_t kFewTokens = 20;  // an expert, on average: hardly any has more than a tile of 32
  return g.p.groups.n_pairs <= kFewTokens * g.p.groups.n_experts
             ? launch_kind<Few<Cells>>(g, n_multiprocessors, stream)
             : launch_kind<Many<Cells>>(g, n_multiprocessors, stream);
}

}  // namespace e4m3
}  // namespace polymath::backend::cuda
