#pragma once

// Grouped GEMM with E4M3 weights and inputs (wgmma, TMA). The codes of a cell are the operand in registers as they are.
// The tensor cores sum the inputs that share a weight's scale, for 128 tokens at once. These sums have few bits, so f32
// sums take them up with the scale. The inputs' scale, one a row, is applied at the end.
//
// Tiles and roles are those of tile_sm90.cuh and grouped_gemm.cuh.

#include "backend/cuda/experts/e4m3_gemm.h"
#include "backend/cuda/experts/staged_end.cuh"
#include "backend/cuda/launch.cuh"
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
  static constexpr int kBoxTokens = 16;
  static constexpr int kStageBytes = kWeightBytes + kTokens * kRowBytes;
  static constexpr int kBlockBytes =
      kStages * kStageBytes + 1024 + kGroups * kChunkBuffers * kChunkBytes;  // 1024: to be aligned
};
template <class Cells>
using Many = Config<Cells, 2, 256, 4, 1, 240>;

struct Work {
  TiledGemm gemm;
  int stage_scales = 0;  // of a slab's row in a stage: 1 or 4
};

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

// sums += scales * (codes times kSteps times 32 inputs of the tokens).
template <int kSteps, int kSums>
__device__ __forceinline__ void add_codes(const uint32_t (&a)[kSteps][4], uint64_t tokens, float2 scales,
                                          float (&sums)[kSums]) {
  float part[kSums];
  wgmma_fence();
#pragma unroll
  for (int s = 0; s < kSteps; ++s) wgmma_e4m3(part, a[s], tokens + 2 * s, s > 0);  // 32 bytes on, in words of 16
  wgmma_commit();
  wgmma_wait<0>();
  pin(part);
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = fmaf(part[i], i % 4 < 2 ? scales.x : scales.y, sums[i]);
}
template <int kSteps, int kSums>
__device__ __forceinline__ void add_columns(const uint32_t (&a)[kSteps][4], uint64_t tokens, float2 scales,
                                            float (&sums)[kSums]) {
  constexpr int kMost = 64, kFirst = kSums < kMost ? kSums : kMost;  // sums of 128 tokens
  add_codes<kSteps>(a, tokens, scales, *reinterpret_cast<float(*)[kFirst]>(&sums[0]));
  if constexpr (kSums > kMost) {
    add_codes<kSteps>(a, matrix_later(tokens, 2 * kMost * kRowBytes), scales,
                      *reinterpret_cast<float(*)[kSums - kMost]>(&sums[kMost]));
  }
}

// A stage whose inputs share a scale. Codes of a cell that is missing are zeros, as its tokens are.
template <class C, int kSums>
__device__ __forceinline__ void add_stage(const uint8_t* cells, uint64_t tokens, int halves, float (&sums)[kSums]) {
  uint32_t a[4][4];
#pragma unroll
  for (int h = 0; h < 4; ++h) {
    C::codes(cells, h, a[h]);
#pragma unroll
    for (int i = 0; i < 4; ++i) a[h][i] = h < 2 || halves > 2 ? a[h][i] : 0;
  }
  add_columns<4>(a, tokens, C::scales(cells, 0), sums);
}
// A stage with a scale for each 32 inputs.
template <class C, int kSums>
__device__ __forceinline__ void add_halves(const uint8_t* cells, uint64_t tokens, int halves, float (&sums)[kSums]) {
  uint32_t a[1][4];
#pragma unroll 1
  for (int h = 0; h < halves; ++h) {
    C::codes(cells, h, a[0]);
    add_columns<1>(a, tokens + 2 * h, C::scales(cells, h), sums);
  }
}

// The sums of one tile by one warpgroup, without the inputs' scales.
template <typename V, int kSums>
__device__ __forceinline__ void accumulate(const Work& work, Pipeline<V>& pipeline, float (&sums)[kSums]) {
  using C = typename V::Cells;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = 0;
  for (int s = 0; s < work.gemm.stages; ++s) {
    pipeline.wait_full();
    const uint8_t* const cells = pipeline.stage() + warp * V::kSlabBytes;
    const uint64_t tokens = matrix_descriptor(pipeline.stage() + V::kWeightBytes);
    const int halves = 2 * cells_of_stage<V>(work.gemm, s);  // of cells: 32 inputs each
    if (C::kWideScales && work.stage_scales == 1) {
      add_stage<C>(cells, tokens, halves, sums);
    } else {
      add_halves<C>(cells, tokens, halves, sums);
    }
    if (threadIdx.x % kWarp == 0) barrier_arrive(&pipeline.ring.empty[pipeline.next.stage]);
    pipeline.advance();
  }
}

// The inputs' scales of a tile. A warpgroup loads them before its GEMM, which hides it, and shares them after it.
template <typename V>
class TokenScales {
 public:
  __device__ __forceinline__ TokenScales(const ExpertGemm& p, const Tile& tile) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int token = thread() + i * kGroupThreads;
      const auto* const row = static_cast<const uint16_t*>(p.x.data) + (tile.begin + token) * p.x.stride;
      own_[i] = token < tile.n ? *reinterpret_cast<const float*>(row + p.w.cols / 2) : 0.0f;
    }
  }
  // Multiplies the sums. shared: the warpgroup's [V::kTokens].
  template <int kSums>
  __device__ __forceinline__ void finish(float* shared, float (&sums)[kSums]) const {
    meet();  // the scales of the tile before have been read
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (const int token = thread() + i * kGroupThreads; token < V::kTokens) shared[token] = own_[i];
    }
    meet();
#pragma unroll
    for (int i = 0; i < kSums; i += 4) {
      const float2 two = *reinterpret_cast<const float2*>(shared + 2 * i + thread() % 4 * 2);
      sums[i] *= two.x, sums[i + 1] *= two.y, sums[i + 2] *= two.x, sums[i + 3] *= two.y;
    }
  }

 private:
  static constexpr int kEach = (V::kTokens + kGroupThreads - 1) / kGroupThreads;
  __device__ __forceinline__ static int thread() { return static_cast<int>(threadIdx.x) % kGroupThreads; }
  __device__ __forceinline__ static void meet() {
    asm volatile("bar.sync %0, %1;" ::"r"(1 + static_cast<int>(threadIdx.x) / kGroupThreads), "n"(kGroupThreads)
                 : "memory");
  }
  float own_[kEach];
};

// What a warpgroup ends its tiles with, in shared memory.
struct EndMemory {
  ChunkBuffers chunks;
  float* scales;
};

template <typename V, End kEnd, int kColumns>
__device__ __forceinline__ void multiply(const Work& work, const Tile& tile, Pipeline<V>& pipeline, EndMemory& memory) {
  const ExpertGemm& p = work.gemm.p;
  const TokenScales<V> scales(p, tile);
  const StagedEnd<V, kEnd, false, kColumns> end(p, tile, static_cast<int>(threadIdx.x) / kGroupThreads);
  float d[kColumns / 2];
  accumulate<V>(work, pipeline, d);
  scales.finish(memory.scales, d);
  end.finish(d, memory.chunks);
}

template <typename V, End kEnd>
__device__ void consume(const Work& work, const ExpertTiles<int>& experts, Pipeline<V> pipeline, EndMemory memory,
                        int n_tiles) {
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<V>(work.gemm, experts, index);
    if (tile.n <= 64) {
      multiply<V, kEnd, 64>(work, tile, pipeline, memory);
    } else if (tile.n <= 96) {
      multiply<V, kEnd, 96>(work, tile, pipeline, memory);
    } else if (tile.n <= 128) {
      multiply<V, kEnd, 128>(work, tile, pipeline, memory);
    } else if (tile.n <= 160) {
      multiply<V, kEnd, 160>(work, tile, pipeline, memory);
    } else if (tile.n <= 192) {
      multiply<V, kEnd, 192>(work, tile, pipeline, memory);
    } else if (tile.n <= 224) {
      multiply<V, kEnd, 224>(work, tile, pipeline, memory);
    } else {
      multiply<V, kEnd, 256>(work, tile, pipeline, memory);
    }
  }
}

template <typename V, End kEnd>
__global__ void __launch_bounds__(V::kThreads, V::kBlocksAnSm)
    e4m3_gemm_kernel(const __grid_constant__ Work work, const __grid_constant__ CUtensorMap tokens) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<V> ring;
  __shared__ ExpertTiles<int> experts;
  __shared__ float scales[V::kGroups][V::kTokens];
  uint8_t* const stages = begin_of_stages(memory);
  const Groups& groups = work.gemm.p.groups;
  if (threadIdx.x == 0) {
    begin_ring(ring, V::kArrivals);
    prefetch(&tokens);
  }
  let_next_begin();
  wait_for_input();
  fetch_pairs(groups, experts);
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
    consume<V, kEnd>(work, experts, {stages, ring, {}}, {buffers, scales[group]}, n_tiles);
  }
}

// --- on the host ---

template <typename V, End kEnd>
bool launch(const E4m3Gemm& g, int n_multiprocessors, cudaStream_t stream) {
  const ExpertGemm& p = g.p;
  const CellGrid grid = p.w.grid();
  const auto stages = static_cast<int>(ceil_div(p.w.cols, V::kStageInputs));
  Work work{.gemm = {}, .stage_scales = g.scale_cols % V::kStageInputs == 0 ? 1 : 4};
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
  allow_shared<e4m3_gemm_kernel<V, kEnd>>(V::kBlockBytes);
  const int64_t tiles = token_tiles_most<V>(p.groups) * work.gemm.row_tiles;
  const auto blocks = static_cast<unsigned>(min(tiles, static_cast<int64_t>(n_multiprocessors) * V::kBlocksAnSm));
  launch_after(e4m3_gemm_kernel<V, kEnd>, {dim3(blocks), dim3(V::kThreads), V::kBlockBytes, stream}, work, tokens);
  return true;
}

template <class Cells>
bool run(const E4m3Gemm& g, int n_multiprocessors, cudaStream_t stream) {
  using V = Many<Cells>;
  if (!g.p.first) return launch<V, End::kOutput>(g, n_multiprocessors, stream);
  return ends_plain(g.p) ? launch<V, End::kSilu>(g, n_multiprocessors, stream)
                         : launch<V, End::kAnyGlu>(g, n_multiprocessors, stream);
}

}  // namespace e4m3
}  // namespace polymath::backend::cuda
