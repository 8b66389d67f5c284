// Grouped GEMM of many tokens. A launch a GEMM: the registers of one epilogue are not held for the other.

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/tile_sm90.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

using Many = TileConfig<2, 256, 4, 64, 1, false>;

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

template <End kEnd, bool kHalf>
__device__ __forceinline__ void consume(const TiledGemm& gemm, Pipeline<Many> pipeline, const ExpertTiles<int>& experts,
                                        int n_tiles, int group) {
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<Many>(gemm, experts, index);
    multiply_tile<Many, kEnd, kHalf>(gemm, tile, pipeline, group);
  }
}

template <End kEnd, bool kHalf>
__global__ void __launch_bounds__(Many::kThreads, Many::kBlocksAnSm)
    grouped_gemm_sm90_kernel(const TiledGemm gemm, const __grid_constant__ OperandMaps maps) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<Many> ring;
  __shared__ ExpertTiles<int> experts;
  uint8_t* stages = begin_of_stages(memory);
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
    consume<kEnd, kHalf>(gemm, {stages, ring, {}}, experts, n_tiles, group);
  }
}

template <End kEnd, bool kHalf>
bool launch(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  TiledGemm gemm;
  OperandMaps maps;
  if (!cut_in_tiles<Many>(p, &gemm, &maps)) return false;
  static const cudaError_t raised =
      cudaFuncSetAttribute(grouped_gemm_sm90_kernel<kEnd, kHalf>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(Many::kSharedBytes));
  static_cast<void>(raised);  // a failure shows at the launch
  const int64_t tiles = token_tiles_most<Many>(p.groups) * gemm.row_tiles;
  const auto blocks = static_cast<unsigned>(min(tiles, static_cast<int64_t>(n_multiprocessors) * Many::kBlocksAnSm));
  launch_after(grouped_gemm_sm90_kernel<kEnd, kHalf>, {dim3(blocks), dim3(Many::kThreads), Many::kSharedBytes, stream},
               gemm, maps);
  return true;
}

template <bool kHalf>
bool launch_end(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  if (!p.first) return launch<End::kOutput, kHalf>(p, n_multiprocessors, stream);
  return ends_plain(p) ? launch<End::kSilu, kHalf>(p, n_multiprocessors, stream)
                       : launch<End::kAnyGlu, kHalf>(p, n_multiprocessors, stream);
}

constexpr int kGatherThreads = 128;

__global__ void gather_pairs_kernel(Matrix x, Groups groups, int64_t top_k, Matrix y) {
  let_next_begin();
  wait_for_input();
  const int64_t j = blockIdx.x;
  if (j >= groups.offsets[groups.n_experts]) return;
  const auto* from =
      reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x.data) + groups.pairs[j] / top_k * x.stride);
  auto* to = reinterpret_cast<uint4*>(static_cast<uint16_t*>(y.data) + j * y.stride);
  for (int i = threadIdx.x; i < y.cols / 8; i += kGatherThreads) to[i] = from[i];
}

}  // namespace

void gather_pairs(const Matrix& x, const Groups& groups, int64_t top_k, const Matrix& y, cudaStream_t stream) {
  if (groups.n_pairs == 0) return;
  launch_after(gather_pairs_kernel, {dim3(static_cast<unsigned>(groups.n_pairs)), dim3(kGatherThreads), 0, stream}, x,
               groups, top_k, y);
}

bool grouped_gemm_sm90(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  return p.w.type == Type::kF16 ? launch_end<true>(p, n_multiprocessors, stream)
                                : launch_end<false>(p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
