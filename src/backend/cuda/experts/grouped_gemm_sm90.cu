// Grouped GEMM of many tokens. A launch a GEMM: the registers of one epilogue are not held for the other.
//
// Two blocks of a cluster multiply neighbouring weight rows with the same tokens. Each copies half of the tokens to
// both, since the L2 cache cannot feed every block its own copy.

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/staged_end.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

struct Many : TileConfig<2, 256, 4, 64, 1, false> {
  static constexpr int kCluster = 2;
  static constexpr int kChunksBytes = kGroups * kChunkBuffers * kChunkBytes;
  static constexpr size_t kBlockBytes = kSharedBytes + kChunksBytes;
};
constexpr uint16_t kWholeCluster = (1 << Many::kCluster) - 1;

// The cluster's index-th tile, and this block's rows of it.
__device__ __forceinline__ Tile tile_of_block(const TiledGemm& gemm, const ExpertTiles<int>& experts, int index) {
  Tile tile = find_tile<Many>(gemm, experts, index);
  tile.row_tile = tile.row_tile * Many::kCluster + rank_in_cluster();
  return tile;
}

__device__ __forceinline__ void copy_shared_stage(const TiledGemm& gemm, const OperandMaps& maps, const Tile& tile,
                                                  int s, const Pipeline<Many>& pipeline) {
  uint8_t* to = pipeline.stage();
  uint64_t* const full = &pipeline.ring.full[pipeline.next.stage];
  const int octets = Many::kRows / (gemm.p.first ? 16 : 8);  // of a tile, on the map's fourth axis
  const int boxes = (tile.n + Many::kBoxTokens - 1) / Many::kBoxTokens;
  barrier_expect(full, static_cast<uint32_t>(Many::kWeightBytes + boxes * Many::kBoxTokens * kRowBytes));
  copy_tensor_5d(to, &maps.weights, full, s * kInputs, 0, 0, tile.row_tile * octets, tile.expert);
  for (int b = rank_in_cluster(); b < boxes; b += Many::kCluster) {
    multicast_tensor_2d(to + Many::kWeightBytes + b * Many::kBoxTokens * kRowBytes, &maps.tokens, full, s * kInputs,
                        tile.begin + b * Many::kBoxTokens, kWholeCluster);
  }
}

// One thread: the TMA copies of every stage. Clusters are persistent and take every n-th tile.
__device__ void produce(const TiledGemm& gemm, const OperandMaps& maps, Pipeline<Many> pipeline,
                        const ExpertTiles<int>& experts, int n_tiles) {
  for (int index = blockIdx.x / Many::kCluster; index < n_tiles; index += gridDim.x / Many::kCluster) {
    const Tile tile = tile_of_block(gemm, experts, index);
    for (int s = 0; s < gemm.stages; ++s) {
      pipeline.wait_empty();
      copy_shared_stage(gemm, maps, tile, s, pipeline);
      pipeline.advance();
    }
  }
}

template <End kEnd, bool kHalf, int kColumns>
__device__ __forceinline__ void multiply_staged(const TiledGemm& gemm, const Tile& tile, Pipeline<Many>& pipeline,
                                                int group, ChunkBuffers& buffers) {
  TileEnd<kEnd, kColumns> end;
  load_end<Many>(gemm.p, tile, group, end);
  float d[kColumns / 2];
  accumulate<Many, kHalf>(gemm, tile, pipeline, group, d);
  finish_staged<Many, kEnd, kHalf>(gemm.p, tile, group, buffers, end, d);
}

template <End kEnd, bool kHalf>
__device__ void consume(const TiledGemm& gemm, Pipeline<Many> pipeline, const ExpertTiles<int>& experts, int n_tiles,
                        int group, ChunkBuffers buffers) {
  for (int index = blockIdx.x / Many::kCluster; index < n_tiles; index += gridDim.x / Many::kCluster) {
    const Tile tile = tile_of_block(gemm, experts, index);
    switch ((tile.n + kChunk - 1) / kChunk) {
      case 1: multiply_staged<kEnd, kHalf, 32>(gemm, tile, pipeline, group, buffers); break;
      case 2: multiply_staged<kEnd, kHalf, 64>(gemm, tile, pipeline, group, buffers); break;
      case 3: multiply_staged<kEnd, kHalf, 96>(gemm, tile, pipeline, group, buffers); break;
      case 4: multiply_staged<kEnd, kHalf, 128>(gemm, tile, pipeline, group, buffers); break;
      case 5: multiply_staged<kEnd, kHalf, 160>(gemm, tile, pipeline, group, buffers); break;
      case 6: multiply_staged<kEnd, kHalf, 192>(gemm, tile, pipeline, group, buffers); break;
      case 7: multiply_staged<kEnd, kHalf, 224>(gemm, tile, pipeline, group, buffers); break;
      default: multiply_staged<kEnd, kHalf, 256>(gemm, tile, pipeline, group, buffers); break;
    }
  }
}

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
  cluster_sync();  // the other block's barriers are there
  const int n_tiles = experts.tiles[gemm.p.groups.n_experts] * gemm.row_tiles;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == Many::kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x % kGroupThreads == 0) produce(gemm, maps, {stages, ring, {}}, experts, n_tiles);
    __syncwarp();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    const uint8_t* const chunks = stages + Many::kStages * Many::kStageBytes;
    const ChunkBuffers buffers{shared_place(chunks + group * kChunkBuffers * kChunkBytes)};
    consume<kEnd, kHalf>(gemm, {stages, ring, {}}, experts, n_tiles, group, buffers);
  }
  cluster_sync();  // no block ends while the other still writes to it
}

// Blocks that run at once: a GPU whose groups of SMs are odd leaves some SMs without a cluster.
template <typename Kernel>
int cluster_blocks(Kernel* kernel, int n_multiprocessors) {
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = Many::kCluster;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(n_multiprocessors / Many::kCluster * Many::kCluster));
  config.blockDim = dim3(Many::kThreads);
  config.dynamicSmemBytes = Many::kBlockBytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  const cudaError_t error = cudaOccupancyMaxActiveClusters(&clusters, kernel, &config);
  return error == cudaSuccess && clusters > 0 ? clusters * Many::kCluster : Many::kCluster;
}

template <End kEnd, bool kHalf>
bool launch(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  TiledGemm gemm;
  OperandMaps maps;
  if (!cut_in_tiles<Many>(p, &gemm, &maps)) return false;
  gemm.row_tiles = static_cast<int>(ceil_div(gemm.row_tiles, Many::kCluster));
  auto* const kernel = grouped_gemm_sm90_kernel<kEnd, kHalf>;
  static const cudaError_t raised = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                         static_cast<int>(Many::kBlockBytes));
  static_cast<void>(raised);  // a failure shows at the launch
  static const int blocks_most = cluster_blocks(kernel, n_multiprocessors);
  const int64_t tiles = token_tiles_most<Many>(p.groups) * gemm.row_tiles;
  const auto blocks = static_cast<unsigned>(min(tiles * Many::kCluster, static_cast<int64_t>(blocks_most)));
  launch_after(kernel, {dim3(blocks), dim3(Many::kThreads), Many::kBlockBytes, stream, Many::kCluster}, gemm, maps);
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
