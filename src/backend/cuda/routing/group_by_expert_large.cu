// Sorts many pairs by expert: a stable counting sort by one cluster of blocks. Every warp counts the experts of its run
// of pairs. The cluster sums the counts, and every warp places its run.

#include "backend/cuda/cluster.cuh"
#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/routing/routing.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarp;
constexpr unsigned kCluster = 8;
static_assert(routing::kExpertsMax <= kThreads);

// A warp's run of pairs. Warps of lower blocks and lower warps have lower runs.
struct Run {
  int begin, end;
};
__device__ __forceinline__ Run run_of_warp(int n) {
  const int nth = rank_in_cluster() * kWarps + static_cast<int>(threadIdx.x) / kWarp, all = kWarps * kCluster;
  const int each = (n + all * kWarp - 1) / (all * kWarp) * kWarp;
  return {min(nth * each, n), min((nth + 1) * each, n)};
}

// Calls visit(i, id, before, same) for each 32 pairs of the run. `same` lanes have this lane's expert, `before` of them
// below it. id -1: no pair.
template <typename Visit>
__device__ __forceinline__ void each_pair(const int32_t* ids, const Run& run, Visit visit) {
  const int lane = threadIdx.x % kWarp;
  for (int first = run.begin; first < run.end; first += kWarp) {
    const int i = first + lane, id = i < run.end ? ids[i] : -1;
    const unsigned same = __match_any_sync(kAllLanes, id);
    visit(i, id, __popc(same & ((1u << lane) - 1)), __popc(same));
    __syncwarp();
  }
}

// The exclusive prefix sum over the block's threads.
__device__ __forceinline__ int block_prefix(int v) {
  __shared__ int sums[kWarps];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, through = warp_prefix(v);
  if (lane == kWarp - 1) sums[warp] = through;
  __syncthreads();
  int before = 0;
  for (int w = 0; w < warp; ++w) before += sums[w];
  return before + through - v;
}

__global__ void __launch_bounds__(kThreads) group_large_kernel(GroupByExpert g) {
  extern __shared__ int shared[];
  int* const block_counts = shared;          // [n_experts], read by the whole cluster
  int* const begins = shared + g.n_experts;  // [n_experts]: place of the block's first pair of each expert
  auto* const counts = reinterpret_cast<uint16_t*>(begins + g.n_experts);  // [kWarps, n_experts]
  wait_for_input();
  const int n_experts = g.n_experts, e = threadIdx.x;
  for (int i = threadIdx.x; i < kWarps * n_experts; i += kThreads) counts[i] = 0;
  __syncthreads();
  uint16_t* const mine = counts + threadIdx.x / kWarp * n_experts;
  const Run run = run_of_warp(static_cast<int>(g.n_pairs));
  each_pair(g.ids, run, [&](int, int id, int before, int same) {
    if (id >= 0 && before == 0) mine[id] = static_cast<uint16_t>(mine[id] + same);
  });
  __syncthreads();
  if (e < n_experts) {
    int sum = 0;
    for (int w = 0; w < kWarps; ++w) {
      const int here = counts[w * n_experts + e];
      counts[w * n_experts + e] = static_cast<uint16_t>(sum);
      sum += here;
    }
    block_counts[e] = sum;
  }
  cluster_sync();
  int before = 0, all = 0;  // pairs of expert e in the blocks below, and in all
  for (int r = 0; r < static_cast<int>(kCluster) && e < n_experts; ++r) {
    const int there = load_from_block(place_in_block(shared_place(block_counts + e), r));
    before += r < rank_in_cluster() ? there : 0;
    all += there;
  }
  const int offset = block_prefix(all);
  if (e < n_experts) {
    begins[e] = offset + before;
    if (rank_in_cluster() == 0) {
      g.offsets[e] = offset;
      if (e == n_experts - 1) g.offsets[n_experts] = offset + all;
      if (g.load != nullptr && all > 0) {
        g.load[e] += all;
        ++g.load[n_experts + e];
      }
    }
  }
  cluster_sync();  // no block ends while others read its counts
  each_pair(g.ids, run, [&](int i, int id, int lanes_before, int same) {
    if (id >= 0) g.pairs[begins[id] + mine[id] + lanes_before] = i;
    __syncwarp();
    if (id >= 0 && lanes_before == 0) mine[id] = static_cast<uint16_t>(mine[id] + same);
  });
}

}  // namespace

void group_by_expert_large(const GroupByExpert& g, cudaStream_t stream) {
  const size_t bytes = static_cast<size_t>(g.n_experts) * (2 * sizeof(int) + kWarps * sizeof(uint16_t));
  allow_shared<group_large_kernel>(routing::kExpertsMax * (2 * sizeof(int) + kWarps * sizeof(uint16_t)));
  launch_after(group_large_kernel, {dim3(kCluster), dim3(kThreads), bytes, stream, kCluster}, g);
}

}  // namespace polymath::backend::cuda
