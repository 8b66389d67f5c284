#pragma once

// Grouped GEMM of many tokens, with plain or packed weights. A launch a GEMM: the registers of one epilogue are not
// held for the other.

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/staged_end.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace grouped {

template <class V>
constexpr size_t kBlockBytes = V::kSharedBytes + size_t{V::kGroups} * kChunkBuffers* kChunkBytes;

// One thread, or a whole warp for packed weights: the TMA copies of every stage. Blocks are persistent and take every
// gridDim-th tile.
template <class V>
__device__ void produce(const TiledGemm& gemm, const OperandMaps& maps, Pipeline<V> pipeline,
                        const ExpertTiles<int>& experts, int n_tiles) {
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<V>(gemm, experts, index);
    TileCopies<V> copies(gemm, maps, tile);
    for (int s = 0, n = stages_of<V>(gemm, tile); s < n; ++s) {
      pipeline.wait_empty();
      copies.next(pipeline);
      pipeline.advance();
    }
  }
}

// accumulate() with cells of kind C.
template <class C, typename V, int kSums>
__device__ __forceinline__ void accumulate_packed(const TiledGemm& gemm, const Tile& tile, Pipeline<V>& pipeline,
                                                  float (&d)[kSums]) {
  static_assert(V::kStageCells == 1);
#pragma unroll
  for (int i = 0; i < kSums; ++i) d[i] = 0;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const auto is_read = [&](const Place& place) {
    if (threadIdx.x % kWarp == 0) barrier_arrive(&pipeline.ring.empty[place.stage]);
  };
  HalfCell halves[2];
  Place read = pipeline.next;
  for (int s = 0, stages_here = stages_of<V>(gemm, tile); s < stages_here; ++s) {
    pipeline.wait_full();
    const uint8_t* const from = pipeline.stage();
    const uint64_t tokens = matrix_descriptor(from + V::kWeightBytes);
    multiply_cell<C>(C::load(from + warp * V::kSlabBytes), halves, tokens, d);
    if (s > 0) {
      is_read(read);
      read.advance<V>();
    }
    pipeline.advance();
  }
  wgmma_wait<0>();
  is_read(read);
  finish_sums<C>(d);
}

// One warpgroup's way through the tiles.
template <class V, End kEnd, bool kHalf>
struct Consumer {
  const TiledGemm& gemm;
  const ExpertTiles<int>& experts;
  int group;
  Pipeline<V> pipeline;
  ChunkBuffers buffers;

  template <int kColumns>
  __device__ __forceinline__ void multiply(const Tile& tile) {
    const StagedEnd<V, kEnd, kHalf, kColumns> end(gemm.p, tile, group);
    float d[kColumns / 2];
    if constexpr (V::kPacked) {
      accumulate_packed<typename V::First>(gemm, tile, pipeline, d);
    } else {
      accumulate<V, kHalf>(gemm, tile, pipeline, group, d);
    }
    end.finish(d, buffers);
  }
  __device__ void run(int n_tiles) {
    for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
      const Tile tile = find_tile<V>(gemm, experts, index);
      if constexpr (V::kPacked) {  // fewer forms: each is compiled for every kind of cells
        if (tile.n <= 32) {
          multiply<32>(tile);
        } else if (tile.n <= 64) {
          multiply<64>(tile);
        } else if (tile.n <= 128) {
          multiply<128>(tile);
        } else if (tile.n <= 192) {
          multiply<192>(tile);
        } else {
          multiply<256>(tile);
        }
        continue;
      } else {
        run_plain(tile);
      }
    }
  }
  __device__ __forceinline__ void run_plain(const Tile& tile) {
    switch ((tile.n + 15) / 16) {
      case 1:
      case 2:
        multiply<32>(tile);
        break;
      case 3:
      case 4:
        multiply<64>(tile);
        break;
      case 5:
      case 6:
        multiply<96>(tile);
        break;
      case 7:
      case 8:
        multiply<128>(tile);
        break;
      case 9:
        multiply<144>(tile);
        break;
      case 10:
        multiply<160>(tile);
        break;
      case 11:
        multiply<176>(tile);
        break;
      case 12:
        multiply<192>(tile);
        break;
      case 13:
        multiply<208>(tile);
        break;
      case 14:
        multiply<224>(tile);
        break;
      case 15:
        multiply<240>(tile);
        break;
      default:
        multiply<256>(tile);
        break;
    }
  }
};

template <class V, End kEnd, bool kHalf>
__global__ void __launch_bounds__(V::kThreads, V::kBlocksAnSm)
    grouped_gemm_sm90_kernel(const TiledGemm gemm, const __grid_constant__ OperandMaps maps) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<V> ring;
  __shared__ ExpertTiles<int> experts;
  uint8_t* const stages = begin_of_stages(memory);
  if (threadIdx.x == 0) begin_ring(ring, V::kArrivals);
  if (threadIdx.x == 0) {
    prefetch(&maps.tokens);
    if constexpr (!V::kPacked) prefetch(&maps.weights);
  }
  wait_for_input();
  fetch_pairs(gemm.p.groups, experts);
  __syncthreads();
  if (threadIdx.x < kWarp) count_tiles<V>(gemm.p.groups.n_experts, experts);
  __syncthreads();
  const int n_tiles = experts.tiles[gemm.p.groups.n_experts] * gemm.row_tiles;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == V::kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x % kGroupThreads < (V::kPacked ? kWarp : 1))
      produce<V>(gemm, maps, {stages, ring, {}}, experts, n_tiles);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    const uint8_t* const chunks = stages + V::kStages * V::kStageBytes;
    const ChunkBuffers buffers{shared_place(chunks + group * kChunkBuffers * kChunkBytes)};
    Consumer<V, kEnd, kHalf>{gemm, experts, group, {stages, ring, {}}, buffers}.run(n_tiles);
  }
}

template <class V, End kEnd, bool kHalf>
bool launch(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  TiledGemm gemm;
  OperandMaps maps = {};
  if (!cut_in_tiles<V>(p, &gemm, &maps)) return false;
  allow_shared<grouped_gemm_sm90_kernel<V, kEnd, kHalf>>(kBlockBytes<V>);
  const int64_t tiles = token_tiles_most<V>(p.groups) * gemm.row_tiles;
  const auto blocks = static_cast<unsigned>(min(tiles, static_cast<int64_t>(n_multiprocessors) * V::kBlocksAnSm));
  launch_after(grouped_gemm_sm90_kernel<V, kEnd, kHalf>, {dim3(blocks), dim3(V::kThreads), kBlockBytes<V>, stream},
               gemm, maps);
  return true;
}

template <class V, bool kHalf>
bool run(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  if (!p.first) return launch<V, End::kOutput, kHalf>(p, n_multiprocessors, stream);
  return ends_plain(p) ? launch<V, End::kSilu, kHalf>(p, n_multiprocessors, stream)
                       : launch<V, End::kAnyGlu, kHalf>(p, n_multiprocessors, stream);
}

}  // namespace grouped
}  // namespace polymath::backend::cuda
