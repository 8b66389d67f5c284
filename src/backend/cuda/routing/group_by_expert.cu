// Sorts pairs by expert, and inverts that. Each expert's block reads all ids, so blocks do not wait for each other. The
// order is always that of the pairs.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/routing/routing.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

__global__ void group_kernel(GroupByExpert g) {
  wait_for_input();
  const int32_t* const ids = g.ids;
  const int n = static_cast<int>(g.n_pairs);
  const int expert = blockIdx.x, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int lower = 0, mine = 0;  // pairs of the experts below this one, and of this one
  for (int i = threadIdx.x; i < n; i += kThreads) {
    const int id = ids[i];
    lower += id >= 0 && id < expert;
    mine += id == expert;
  }
  lower = block_sum<kThreads>(lower);
  mine = block_sum<kThreads>(mine);
  if (threadIdx.x == 0) {
    g.offsets[expert] = lower;
    if (expert == g.n_experts - 1) g.offsets[g.n_experts] = lower + mine;
    if (g.load != nullptr && mine > 0) {
      g.load[expert] += mine;
      ++g.load[g.n_experts + expert];
    }
  }
  if (mine == 0) return;
  __shared__ int counts[kWarps];
  int next = lower;
  for (int first = 0; first < n; first += kThreads) {
    const int i = first + threadIdx.x;
    const bool hit = i < n && ids[i] == expert;
    const unsigned hits = __ballot_sync(kAllLanes, hit);
    __syncthreads();  // the last round's counts are read
    if (lane == 0) counts[warp] = __popc(hits);
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < kWarps; ++w) {
      before += w < warp ? counts[w] : 0;
      all += counts[w];
    }
    if (hit) g.pairs[next + before + __popc(hits & ((1u << lane) - 1))] = i;
    next += all;
  }
}

__global__ void invert_kernel(Groups groups, int32_t* row_of) {
  wait_for_input();
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j < groups.offsets[groups.n_experts]) row_of[groups.pairs[j]] = static_cast<int32_t>(j);
}

__global__ void keep_local_kernel(LocalIds local) {
  wait_for_input();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= local.n) return;
  const int id = local.ids[i] - local.begin;
  local.ids[i] = id >= 0 && id < local.count ? id : -1;
}

}  // namespace

void group_by_expert(const GroupByExpert& g, cudaStream_t stream) {
  if (g.n_pairs >= kGroupLargePairs && g.n_pairs <= kGroupPairsMax) return group_by_expert_large(g, stream);
  launch_after(group_kernel, {dim3(static_cast<unsigned>(g.n_experts)), dim3(kThreads), 0, stream}, g);
}

void keep_local(const LocalIds& local, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(local.n, kThreads));
  if (blocks > 0) launch_after(keep_local_kernel, {dim3(blocks), dim3(kThreads), 0, stream}, local);
}

void invert_pairs(const Groups& groups, int32_t* row_of, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(groups.n_pairs, kThreads));
  if (blocks > 0) launch_after(invert_kernel, {dim3(blocks), dim3(kThreads), 0, stream}, groups, row_of);
}

}  // namespace polymath::backend::cuda
