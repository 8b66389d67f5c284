// Pairs by expert and back. A block an expert: it reads all ids, so that no block waits for another and the order is
// that of the pairs, always.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

__global__ void group_kernel(const int32_t* ids, int n, int n_experts, int32_t* offsets, int32_t* pairs,
                             int64_t* load) {
  wait_for_input();
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
    offsets[expert] = lower;
    if (expert == n_experts - 1) offsets[n_experts] = lower + mine;
    if (load != nullptr) load[expert] += mine;
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
    if (hit) pairs[next + before + __popc(hits & ((1u << lane) - 1))] = i;
    next += all;
  }
}

__global__ void invert_kernel(Groups groups, int32_t* row_of) {
  wait_for_input();
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j < groups.offsets[groups.n_experts]) row_of[groups.pairs[j]] = static_cast<int32_t>(j);
}

__global__ void combine_kernel(Combine c) {
  constexpr int kTogether = 8;  // choices whose numbers are under way at once
  wait_for_input();
  let_next_begin();
  const int64_t token = blockIdx.x;
  for (int i = threadIdx.x; blockIdx.x == 0 && blockIdx.y == 0 && i < c.n_counters; i += kThreads) c.counters[i] = 0;
  const float of_shared = c.shared.data != nullptr ? c.shared_scale * c.shared_weights[token] : 0.0f;
  const auto* const y = static_cast<const float*>(c.y.data);
  const auto* const shared = static_cast<const float*>(c.shared.data);
  for (int64_t col = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x; col < c.out.cols;
       col += static_cast<int64_t>(gridDim.y) * kThreads) {
    float sum = at(c.out, token, col);
    for (int64_t first = token * c.top_k, end = first + c.top_k; first < end; first += kTogether) {
      float weights[kTogether], values[kTogether] = {};
      int64_t rows[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int64_t pair = first + i;
        const bool there = pair < end && c.ids[pair] >= 0;
        weights[i] = !there ? 0.0f : c.weights != nullptr ? c.weights[pair] : 1.0f;
        rows[i] = !there ? -1 : c.row_of != nullptr ? c.row_of[pair] : pair;
      }
      for (int part = 0; part < c.parts; ++part) {
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          if (rows[i] >= 0) values[i] += y[(rows[i] * c.parts + part) * c.y.stride + col];
        }
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) sum += c.scale * weights[i] * values[i];
    }
    for (int part = 0; shared != nullptr && part < c.shared_parts; ++part) {
      sum += of_shared * shared[(token * c.shared_parts + part) * c.shared.stride + col];
    }
    put(c.out, token, col, sum);
  }
}

}  // namespace

void group_by_expert(const int32_t* ids, int64_t n_pairs, int n_experts, int32_t* offsets, int32_t* pairs,
                     int64_t* load, cudaStream_t stream) {
  launch_after(group_kernel, dim3(static_cast<unsigned>(n_experts)), dim3(kThreads), 0, stream, ids,
               static_cast<int>(n_pairs), n_experts, offsets, pairs, load);
}

void invert_pairs(const Groups& groups, int32_t* row_of, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(groups.n_pairs, kThreads));
  if (blocks > 0) launch_after(invert_kernel, dim3(blocks), dim3(kThreads), 0, stream, groups, row_of);
}

void combine(const Combine& c, cudaStream_t stream) {
  if (c.out.rows == 0) return;
  // Few rows: their columns are spread over blocks.
  const auto across = static_cast<unsigned>(c.out.rows >= 256 ? 1 : ceil_div(c.out.cols, kThreads));
  launch_after(combine_kernel, dim3(static_cast<unsigned>(c.out.rows), across), dim3(kThreads), 0, stream, c);
}

}  // namespace polymath::backend::cuda
