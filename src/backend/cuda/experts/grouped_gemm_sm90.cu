// Grouped GEMM of many tokens. A launch a GEMM: the registers of one epilogue are not held for the other.

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/staged_end.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

struct Many : TileConfig<2, 256, 4, 64, 1, false> {
  static constexpr size_t kBlockBytes = kSharedBytes + size_t{kGroups} * kChunkBuffers * kChunkBytes;
};

// One thread: the TMA copies of every stage. Blocks are persistent and take every gridDim-th tile.
__device__ void produce(const TiledGemm& gemm, const OperandMaps& maps, Pipeline<Many> pipeline,
                        const ExpertTiles<int>& experts, int n_tiles) {
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<Many>(gemm, experts, index);
    for (int s = 0, n = stages_of<Many>(gemm, tile); s < n; ++s) {
      pipeline.wait_empty();
      copy_stage<Many>(gemm, maps, tile, s, pipeline);
      pipeline.advance();
    }
  }
}

// One warpgroup's way through the tiles.
template <End kEnd, bool kHalf>
struct Consumer {
  const TiledGemm& gemm;
  const ExpertTiles<int>& experts;
  int group;
  Pipeline<Many> pipeline;
  ChunkBuffers buffers;

  template <int kColumns>
  __device__ __forceinline__ void multiply(const Tile& tile) {
    const StagedEnd<Many, kEnd, kHalf, kColumns> end(gemm.p, tile, group);
    float d[kColumns / 2];
    accumulate<Many, kHalf>(gemm, tile, pipeline, group, d);
    end.finish(d, buffers);
  }
  __device__ void run(int n_tiles) {
    for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
      const Tile tile = find_tile<Many>(gemm, experts, index);
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
  }
};

template <End kEnd, bool kHalf>
__global__ void __launch_bounds__(Many::kThreads, Many::kBlocksAnSm)
    grouped_gemm_sm90_kernel(const TiledGemm gemm, const __grid_constant__ OperandMaps maps) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<Many> ring;
  __shared__ ExpertTiles<int> experts;
  uint8_t* const stages = begin_of_stages(memory);
  if (threadIdx.x == 0) begin_ring(ring);
  if (threadIdx.x == 0) prefetch(maps);
  wait_for_input();
  fetch_pairs(gemm.p.groups, experts);
  __syncthreads();
  if (threadIdx.x < kWarp) count_tiles<Many>(gemm.p.groups.n_experts, experts);
  __syncthreads();
  const int n_tiles = experts.tiles[gemm.p.groups.n_experts] * gemm.row_tiles;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == Many::kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x % kGroupThreads == 0) produce(gemm, maps, {stages, ring, {}}, experts, n_tiles);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    const uint8_t* const chunks = stages + Many::kStages * Many::kStageBytes;
    const ChunkBuffers buffers{shared_place(chunks + group * kChunkBuffers * kChunkBytes)};
    Consumer<kEnd, kHalf>{gemm, experts, group, {stages, ring, {}}, buffers}.run(n_tiles);
  }
}

template <End kEnd, bool kHalf>
bool launch(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  TiledGemm gemm;
  OperandMaps maps;
  if (!cut_in_tiles<Many>(p, &gemm, &maps)) return false;
  static const cudaError_t raised =
      cudaFuncSetAttribute(grouped_gemm_sm90_kernel<kEnd, kHalf>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(Many::kBlockBytes));
  static_cast<void>(raised);  // a failure shows at the launch
  const int64_t tiles = token_tiles_most<Many>(p.groups) * gemm.row_tiles;
  const auto blocks = static_cast<unsigned>(min(tiles, static_cast<int64_t>(n_multiprocessors) * Many::kBlocksAnSm));
  launch_after(grouped_gemm_sm90_kernel<kEnd, kHalf>, {dim3(blocks), dim3(Many::kThreads), Many::kBlockBytes, stream},
               gemm, maps);
  return true;
}

template <bool kHalf>
bool launch_end(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  if (!p.first) return launch<End::kOutput, kHalf>(p, n_multiprocessors, stream);
  return ends_plain(p) ? launch<End::kSilu, kHalf>(p, n_multiprocessors, stream)
                       : launch<End::kAnyGlu, kHalf>(p, n_multiprocessors, stream);
}

// A warp a pair. A lane has kWords loads under way.
constexpr int kGatherWarps = 8;
template <int kWords>
__device__ __forceinline__ void copy_words(const uint4* from, uint4* to, int n) {
  for (int first = threadIdx.x % kWarp; first < n; first += kWarp * kWords) {
    uint4 words[kWords];
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if (first + i * kWarp < n) words[i] = from[first + i * kWarp];
    }
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if (first + i * kWarp < n) to[first + i * kWarp] = words[i];
    }
  }
}

__global__ void __launch_bounds__(kGatherWarps* kWarp)
    gather_pairs_kernel(Matrix x, Groups groups, unsigned top_k, Matrix y) {
  let_next_begin();
  wait_for_input();
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kGatherWarps + threadIdx.x / kWarp;
  if (j >= groups.offsets[groups.n_experts]) return;
  const unsigned token = static_cast<unsigned>(groups.pairs[j]) / top_k;
  copy_words<8>(reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x.data) + token * x.stride),
                reinterpret_cast<uint4*>(static_cast<uint16_t*>(y.data) + j * y.stride), static_cast<int>(y.cols / 8));
}

}  // namespace

void gather_pairs(const Matrix& x, const Groups& groups, int64_t top_k, const Matrix& y, cudaStream_t stream) {
  if (groups.n_pairs == 0) return;
  launch_after(
      gather_pairs_kernel,
      {dim3(static_cast<unsigned>(ceil_div(groups.n_pairs, kGatherWarps))), dim3(kGatherWarps * kWarp), 0, stream}, x,
      groups, static_cast<unsigned>(top_k), y);
}

bool grouped_gemm_sm90(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  return p.w.type == Type::kF16 ? launch_end<true>(p, n_multiprocessors, stream)
                                : launch_end<false>(p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
