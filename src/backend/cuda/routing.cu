// The routing functions of routing/<name>.h, a warp a row. What most of them spend their time on, the k best logits, is
// found by the whole warp; whatever a warp has no form for is routed by one thread with the function itself
// (ROW_SCRATCH).
//
// For few tokens, one kernel does all of a layer's routing: a block multiplies one expert's row of the router with
// sixteen tokens, the last block of those tokens routes them, and the last of those groups the pairs by expert.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "routing/hash.h"
#include "routing/sigmoid_group_topk.h"
#include "routing/sigmoid_topk.h"
#include "routing/softmax_bias_topk.h"
#include "routing/softmax_group_topk.h"
#include "routing/softmax_topk.h"
#include "routing/sparsemixer.h"
#include "routing/switch_top1.h"
#include "routing/topk_softmax.h"

namespace polymath::backend::cuda {
namespace {

enum class Kind {
  kSoftmaxTopk,
  kTopkSoftmax,
  kSoftmaxGroupTopk,
  kSigmoidGroupTopk,
  kSoftmaxBiasTopk,
  kSigmoidTopk,
  kSparsemixer,
  kSwitchTop1,
  kHash,
  kCount,
};

template <Kind kKind>
__device__ void route_row(const routing::RouterConfig& c, const float* logits, const float* bias, int32_t token,
                          int32_t* ids, float* weights) {
  if constexpr (kKind == Kind::kSoftmaxTopk) routing::softmax_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kTopkSoftmax) routing::topk_softmax(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSoftmaxGroupTopk) routing::softmax_group_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSigmoidGroupTopk) routing::sigmoid_group_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSoftmaxBiasTopk) routing::softmax_bias_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSigmoidTopk) routing::sigmoid_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSparsemixer) routing::sparsemixer(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSwitchTop1) routing::switch_top1(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kHash) routing::hash(c, logits, bias, token, ids, weights);
}

constexpr bool chooses_best_logits(Kind kind) {
  return kind == Kind::kSoftmaxTopk || kind == Kind::kTopkSoftmax || kind == Kind::kSigmoidTopk;
}
constexpr int kLaneLogits = kRouteExpertsMax / kWarp;  // wider rows are one thread's

// Numbers in the order of their floats, for the warp's reduction of integers; none is 0. The zeros are one number.
__device__ __forceinline__ unsigned order_of(float v) {
  const unsigned bits = __float_as_uint(v + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float float_of(unsigned order) {
  return __uint_as_float(order >> 31 != 0 ? order & 0x7fffffffu : ~order);
}

// The best of what is not taken yet, the lowest id among equals.
__device__ __forceinline__ int best_of_warp(const float (&mine)[kLaneLogits], unsigned& taken, float& best) {
  const int lane = threadIdx.x % kWarp;
  unsigned order = 0;
  int id = routing::kExpertsMax;
#pragma unroll
  for (int i = 0; i < kLaneLogits; ++i) {
    const unsigned other = order_of(mine[i]);
    if ((taken >> i & 1u) == 0 && other > order) order = other, id = lane + i * kWarp;
  }
  const unsigned highest = __reduce_max_sync(kAllLanes, order);
  id = __reduce_min_sync(kAllLanes, order == highest ? id : routing::kExpertsMax);
  best = float_of(highest);
  if (id % kWarp == lane) taken |= 1u << (id / kWarp);
  return id;
}

template <Kind kKind>
__device__ void route_by_warp(const RouteProblem& p, const float* row, int32_t* ids, float* weights, int32_t* copy) {
  const int lane = threadIdx.x % kWarp, n = p.config.n_experts;
  float mine[kLaneLogits], max = -INFINITY, sum = 0;
  unsigned taken = 0;
  bool nan = false;
#pragma unroll
  for (int i = 0; i < kLaneLogits; ++i) {
    const int e = lane + i * kWarp;
    mine[i] = e < n ? __ldcg(row + e) : -INFINITY;  // past the L1 cache: other blocks may have written it just now
    if (e >= n) taken |= 1u << i;
    nan = nan || isnan(mine[i]);
    max = fmaxf(max, mine[i]);
  }
  max = warp_max(max);
  if (__any_sync(kAllLanes, nan) || max == -INFINITY || (max == INFINITY && kKind != Kind::kSigmoidTopk)) {
    if (lane == 0) routing::route_broken_row(p.config.top_k, ids, weights);
    for (int j = lane; j < p.config.top_k && copy != nullptr; j += kWarp) copy[j] = j;
    return;
  }
  if (kKind == Kind::kSoftmaxTopk) {
#pragma unroll
    for (int i = 0; i < kLaneLogits; ++i) sum += expf(mine[i] - max);  // what is no expert is -infinity
    sum = warp_sum(sum);
  }
  // Choice j stays with lane j: in memory, every step of what follows would wait for the one before.
  int id = 0;
  float weight = 0;
  for (int j = 0; j < p.config.top_k; ++j) {
    float best = 0;
    const int chosen = best_of_warp(mine, taken, best);
    if (lane == j) {
      id = chosen;
      weight = kKind == Kind::kSigmoidTopk ? routing::sigmoid(best) : expf(best - max);
    }
  }
  if (kKind == Kind::kTopkSoftmax) sum = warp_sum(weight);
  if (kKind != Kind::kSigmoidTopk) weight /= sum;
  if (kKind != Kind::kTopkSoftmax && p.config.normalize) {  // as routing::normalize_weights
    const float all = warp_sum(weight) + p.config.normalize_eps;
    const float divisor = all > p.config.normalize_min ? all : p.config.normalize_min;
    if (divisor != 0) weight /= divisor;
  }
  if (lane >= p.config.top_k) return;
  ids[lane] = id;
  weights[lane] = weight * p.config.weight_scale;
  if (copy != nullptr) copy[lane] = id;
}

// Row i, of a token, by one warp. The ids go to `copy` too, unless it is null.
template <Kind kKind>
__device__ void route_one(const RouteProblem& p, int64_t i, int32_t token, int32_t* copy = nullptr) {
  const int lane = threadIdx.x % kWarp;
  const float* row = p.logits + i * p.stride;
  int32_t* ids = p.ids + i * p.config.top_k;
  float* weights = p.weights + i * p.config.top_k;
  if (token < 0) {  // a row that only fills the step up
    for (int j = lane; j < p.config.top_k; j += kWarp) {
      ids[j] = -1, weights[j] = 0;
      if (copy != nullptr) copy[j] = -1;
    }
  } else if (chooses_best_logits(kKind) && p.config.n_experts <= kRouteExpertsMax && p.config.top_k <= kRouteTopKMax) {
    if constexpr (chooses_best_logits(kKind)) route_by_warp<kKind>(p, row, ids, weights, copy);
  } else if (lane == 0) {
    route_row<kKind>(p.config, row, p.bias, token, ids, weights);
  }
}

// One warp a block: ROW_SCRATCH is the block's.
template <Kind kKind>
__global__ void route_kernel(RouteProblem p) {
  wait_for_input();
  route_one<kKind>(p, blockIdx.x, p.tokens[blockIdx.x]);
}

template <Kind kKind>
void launch_route(const RouteProblem& p, cudaStream_t stream) {
  if (p.n > 0) launch_after(route_kernel<kKind>, dim3(static_cast<unsigned>(p.n)), dim3(kWarp), 0, stream, p);
}

// --- a whole layer's routing ---

constexpr int kThreads = 512, kWarps = kThreads / kWarp;

// Inputs [first, cols) in steps of `step` words of 8, times the weights in shared memory: one lane's part.
__device__ __forceinline__ float multiply_words(const RouteExperts& p, const float* weight, int64_t token, int first,
                                                int step) {
  const auto* x = reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(p.x.data) + token * p.x.stride);
  const int words = static_cast<int>(p.x.cols / 8);
  float sum = 0;
#pragma unroll 4
  for (int i = first; i < words; i += step) {
    const uint4 word = x[i];
    const uint32_t parts[4] = {word.x, word.y, word.z, word.w};
    const float4 low = reinterpret_cast<const float4*>(weight)[2 * i],
                 high = reinterpret_cast<const float4*>(weight)[2 * i + 1];
    const float w[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sum += __uint_as_float(parts[k] << 16) * w[2 * k] + __uint_as_float(parts[k] & 0xffff0000u) * w[2 * k + 1];
    }
  }
  return sum;
}

// This block's expert times its tokens [first, first + n): with sixteen a warp each, with fewer several warps a token.
__device__ void multiply_expert(const RouteExperts& p, const float* weight, int first, int n,
                                float (*shares)[kRouteGroup]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int parts = kWarps;  // of a token's inputs
  while (parts > 1 && kWarps / parts < n) parts /= 2;
  const int part = warp % parts, t = warp / parts;
  const bool in_words = p.x.type == Type::kBf16 && p.x.cols % 8 == 0 && p.x.stride % 8 == 0;
  if (t < n) {
    float sum = 0;
    if (in_words) {
      sum = multiply_words(p, weight, first + t, part * kWarp + lane, parts * kWarp);
    } else {
      for (int64_t i = part * kWarp + lane; i < p.x.cols; i += parts * kWarp) sum += at(p.x, first + t, i) * weight[i];
    }
    sum = warp_sum(sum);
    if (lane == 0) shares[part][t] = sum;
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= n) return;
  float sum = p.router_bias != nullptr ? p.router_bias[blockIdx.x] : 0.0f;
  for (int i = 0; i < parts; ++i) sum += shares[i][threadIdx.x];
  const_cast<float*>(p.route.logits)[(first + threadIdx.x) * p.route.stride + blockIdx.x] = sum;
}

// True in one of `n` blocks, when all others are here; what they wrote can then be read past the L1 cache.
__device__ bool is_last(unsigned* counter, unsigned n) {
  __shared__ bool last;
  if (n > 1) __threadfence();
  __syncthreads();
  if (n == 1) return true;
  if (threadIdx.x == 0) last = atomicInc(counter, n - 1) == n - 1;  // zero again for the next launch
  __syncthreads();
  __threadfence();
  return last;
}

// As group_kernel does it, by one block; ids: in shared memory.
__device__ void group_pairs(const RouteExperts& p, const int32_t* ids, int* counts) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int n_experts = p.route.config.n_experts, n = static_cast<int>(p.route.n) * p.route.config.top_k;
  for (int e = threadIdx.x; e < n_experts; e += kThreads) counts[e] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += kThreads) {
    if (ids[i] >= 0) atomicAdd(&counts[ids[i]], 1);
  }
  __syncthreads();
  for (int e = threadIdx.x; e < n_experts && p.load != nullptr; e += kThreads) {  // an atomic is not waited for
    atomicAdd(reinterpret_cast<unsigned long long*>(p.load + e), static_cast<unsigned long long>(counts[e]));
  }
  __syncthreads();
  if (warp == 0) {  // counts become the experts' first places
    int before = 0;
    for (int first = 0; first < n_experts; first += kWarp) {
      const int e = first + lane, mine = e < n_experts ? counts[e] : 0;
      int through = mine;
      for (int step = 1; step < kWarp; step *= 2) {
        const int other = __shfl_up_sync(kAllLanes, through, step);
        if (lane >= step) through += other;
      }
      if (e < n_experts) counts[e] = p.offsets[e] = before + through - mine;
      before += __shfl_sync(kAllLanes, through, kWarp - 1);
    }
    if (lane == 0) counts[n_experts] = p.offsets[n_experts] = before;
  }
  __syncthreads();
  for (int e = warp; e < n_experts; e += kWarps) {
    int next = counts[e];
    for (int first = 0; next < counts[e + 1]; first += kWarp) {
      const int i = first + lane;
      const unsigned hits = __ballot_sync(kAllLanes, i < n && ids[i] == e);
      if (hits >> lane & 1u) p.pairs[next + __popc(hits & ((1u << lane) - 1))] = i;
      next += __popc(hits);
    }
  }
}

template <Kind kKind>
__global__ void __launch_bounds__(kThreads, 2) route_experts_kernel(RouteExperts p) {
  extern __shared__ __align__(16) float weight[];  // the expert's row
  __shared__ float shares[kWarps][kRouteGroup];
  __shared__ int counts[kRouteExpertsMax + 1];
  __shared__ int32_t ids[kRoutePairsMax];
  const float* from = static_cast<const float*>(p.router.data) + blockIdx.x * p.router.stride;
  for (int i = threadIdx.x; i < p.x.cols; i += kThreads) weight[i] = from[i];  // nobody's output: before the wait
  const int top_k = p.route.config.top_k, all = static_cast<int>(p.route.n);
  const int first = static_cast<int>(blockIdx.y) * kRouteGroup, n = min(kRouteGroup, all - first);
  const int warp = threadIdx.x / kWarp;
  const int32_t token = warp < n ? p.route.tokens[first + warp] : -1;
  wait_for_input();
  let_next_begin();
  __syncthreads();
  multiply_expert(p, weight, first, n, shares);
  if (!is_last(p.counters + 1 + blockIdx.y, gridDim.x)) return;
  if (warp < n) route_one<kKind>(p.route, first + warp, token, ids + warp * top_k);
  if (!is_last(p.counters, gridDim.y)) return;
  for (int i = threadIdx.x; gridDim.y > 1 && i < all * top_k; i += kThreads) ids[i] = __ldcg(p.route.ids + i);
  __syncthreads();
  group_pairs(p, ids, counts);
}

template <Kind kKind>
void launch_experts(const RouteExperts& p, cudaStream_t stream) {
  const size_t bytes = static_cast<size_t>(p.x.cols) * sizeof(float);
  launch_after(
      route_experts_kernel<kKind>,
      dim3(static_cast<unsigned>(p.route.config.n_experts), static_cast<unsigned>(ceil_div(p.route.n, kRouteGroup))),
      dim3(kThreads), bytes, stream, p);
}

template <Kind kKind>
constexpr RouteKernels kernels(const char* name) {
  if constexpr (chooses_best_logits(kKind)) return {name, launch_route<kKind>, launch_experts<kKind>};
  return {name, launch_route<kKind>, nullptr};
}
// In the order of routing/list.cpp.
constexpr RouteKernels kRows[] = {
    kernels<Kind::kSoftmaxTopk>("softmax_topk"),
    kernels<Kind::kTopkSoftmax>("topk_softmax"),
    kernels<Kind::kSoftmaxGroupTopk>("softmax_group_topk"),
    kernels<Kind::kSigmoidGroupTopk>("sigmoid_group_topk"),
    kernels<Kind::kSoftmaxBiasTopk>("softmax_bias_topk"),
    kernels<Kind::kSigmoidTopk>("sigmoid_topk"),
    kernels<Kind::kSparsemixer>("sparsemixer"),
    kernels<Kind::kSwitchTop1>("switch_top1"),
    kernels<Kind::kHash>("hash"),
};

}  // namespace

const RouteKernels* find_route(std::string_view name) {
  for (const RouteKernels& row : kRows) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

}  // namespace polymath::backend::cuda
