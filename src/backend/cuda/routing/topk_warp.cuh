#pragma once

// The functions of routing/<name>.h for one token, by a warp. The lanes find the k best logits together. A router
// without a warp form runs its own function in one thread (ROW_SCRATCH).

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/routing/routing.h"
#include "routing/list.h"

namespace polymath::backend::cuda {

// Routers with a warp form: they select by the logits alone.
template <routing::RouteFn kRoute>
constexpr bool kIsSoftmaxTopk = kRoute == routing::softmax_topk;
template <routing::RouteFn kRoute>
constexpr bool kIsTopkSoftmax = kRoute == routing::topk_softmax;
template <routing::RouteFn kRoute>
constexpr bool kIsSigmoidTopk = kRoute == routing::sigmoid_topk;
template <routing::RouteFn kRoute>
constexpr bool kTakesBestLogits = kIsSoftmaxTopk<kRoute> || kIsTopkSoftmax<kRoute> || kIsSigmoidTopk<kRoute>;

// Maps floats to unsigned integers of the same order, for __reduce_max_sync; never 0. -0 equals 0.
__device__ __forceinline__ unsigned order_of(float v) {
  const unsigned bits = __float_as_uint(v + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float float_of(unsigned order) {
  return __uint_as_float(order >> 31 != 0 ? order & 0x7fffffffu : ~order);
}

// A warp's selection: lane j has choice j. Its weight is computed later, while the ids are being stored.
struct Choice {
  int id = -1;  // a padding row has none
  float logit = 0;
  float max = 0, sum = 1;  // of all logits; the sum: for softmax_topk
};

// Sorts a lane's candidates by descending order. Stable: equal logits keep ascending ids.
template <int kSlots>
__device__ __forceinline__ void sort_candidates(unsigned (&order)[kSlots], int (&id)[kSlots]) {
#pragma unroll
  for (int round = 0; round < kSlots; ++round) {
#pragma unroll
    for (int i = round % 2; i + 1 < kSlots; i += 2) {
      const unsigned front = order[i], back = order[i + 1];
      const int front_id = id[i], back_id = id[i + 1];
      const bool swap = back > front;
      order[i] = swap ? back : front, order[i + 1] = swap ? front : back;
      id[i] = swap ? back_id : front_id, id[i + 1] = swap ? front_id : back_id;
    }
  }
}

// A row of logits, split-K: the sum of `parts` rows.
struct LogitRow {
  const float* first = nullptr;
  int parts = 1, stride = 0;
  const float* bias = nullptr;  // or null

  template <int kSlots>
  __device__ __forceinline__ void read(int n, float (&mine)[kSlots]) const {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int i = 0; i < kSlots; ++i) mine[i] = lane + i * kWarp < n ? 0.0f : -INFINITY;
#pragma unroll 1
    for (int part = 0; part < parts; ++part) {
#pragma unroll
      for (int i = 0; i < kSlots; ++i) mine[i] += lane + i * kWarp < n ? first[part * stride + lane + i * kWarp] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kSlots; ++i) mine[i] += bias != nullptr && lane + i * kWarp < n ? bias[lane + i * kWarp] : 0.0f;
  }
};

// REQUIRES: n <= kSlots * kWarp.
template <routing::RouteFn kRoute, int kSlots>
__device__ __forceinline__ Choice choose_in_slots(int n, int top_k, const LogitRow& row) {
  const int lane = threadIdx.x % kWarp;
  float mine[kSlots];
  row.read(n, mine);
  unsigned order[kSlots];
  int id[kSlots];
#pragma unroll
  for (int i = 0; i < kSlots; ++i) {
    id[i] = lane + i * kWarp;
    const unsigned number = order_of(mine[i]);
    order[i] = isnan(mine[i]) ? ~0u : number;  // above all, and float_of it is a NaN again
    order[i] = id[i] < n ? order[i] : 0;
  }
  sort_candidates(order, id);
  unsigned highest = __reduce_max_sync(kAllLanes, order[0]);
  const float max = float_of(highest);
  if (isnan(max) || max == -INFINITY || (max == INFINITY && !kIsSigmoidTopk<kRoute>)) return {lane, NAN, max};
  float sum = 0;
  if constexpr (kIsSoftmaxTopk<kRoute>) {
#pragma unroll
    for (int i = 0; i < kSlots; ++i) sum += expf(mine[i] - max);  // padding is -infinity
  }
  int chosen = -1, step = kWarp / 2;
  unsigned chosen_order = 0;
#pragma unroll 1
  for (int j = 0; j < top_k; ++j) {
    // One step of the sum's butterfly a round, so that its latency hides behind the maximum's.
    float other = 0;
    if constexpr (kIsSoftmaxTopk<kRoute>) other = __shfl_xor_sync(kAllLanes, sum, step);
    const int best = __reduce_min_sync(kAllLanes, order[0] == highest ? id[0] : routing::kExpertsMax);
    if (lane == j) chosen = best, chosen_order = highest;
    if (id[0] == best) {
#pragma unroll
      for (int i = 0; i + 1 < kSlots; ++i) order[i] = order[i + 1], id[i] = id[i + 1];
      order[kSlots - 1] = 0;
    }
    highest = __reduce_max_sync(kAllLanes, order[0]);
    if (step > 0) sum += other;
    step /= 2;
  }
  if constexpr (kIsSoftmaxTopk<kRoute>) {
    for (; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  }
  return {chosen, float_of(chosen_order), max, sum};
}

// By one warp. REQUIRES: n <= kRouteExpertsMax, top_k <= kRouteTopKMax.
template <routing::RouteFn kRoute>
__device__ __forceinline__ Choice choose_by_warp(int n, int top_k, const LogitRow& row) {
  static_assert(kRouteExpertsMax <= 8 * kWarp && kRouteTopKMax <= kWarp);
  if (n <= 4 * kWarp) return choose_in_slots<kRoute, 4>(n, top_k, row);
  return choose_in_slots<kRoute, 8>(n, top_k, row);
}

// warp_sum where all lanes but the first k hold zeros; valid in the first k.
__device__ __forceinline__ float sum_of_choices(float v, int k) {
  if (k > 8) v += __shfl_xor_sync(kAllLanes, v, 16), v += __shfl_xor_sync(kAllLanes, v, 8);
  for (int step = 4; step > 0; step /= 2) v += __shfl_xor_sync(kAllLanes, v, step);
  return v;
}

template <routing::RouteFn kRoute>
__device__ __forceinline__ float weight_of(const routing::RouterConfig& c, const Choice& choice) {
  float weight = 0, sum = choice.sum;
  if (static_cast<int>(threadIdx.x) % kWarp < c.top_k)
    weight = kIsSigmoidTopk<kRoute> ? routing::sigmoid(choice.logit) : expf(choice.logit - choice.max);
  if (kIsTopkSoftmax<kRoute>) sum = sum_of_choices(weight, c.top_k);
  if (!kIsSigmoidTopk<kRoute>) weight /= sum;
  if (!kIsTopkSoftmax<kRoute> && c.normalize) {  // as routing::normalize_weights
    const float all = sum_of_choices(weight, c.top_k) + c.normalize_eps;
    const float divisor = all > c.normalize_min ? all : c.normalize_min;
    if (divisor != 0) weight /= divisor;
  }
  return choice.id < 0 ? 0.0f : weight * c.weight_scale;
}

// Routes row i, by one warp.
template <routing::RouteFn kRoute>
__device__ void route_one(const RouteProblem& p, const float* row, int64_t i, int32_t token) {
  const int lane = threadIdx.x % kWarp, top_k = p.config.top_k;
  int32_t* ids = p.ids + i * top_k;
  float* weights = p.weights + i * top_k;
  if (token < 0) {  // a padding row
    for (int j = lane; j < top_k; j += kWarp) ids[j] = -1, weights[j] = 0;
  } else if (kTakesBestLogits<kRoute> && p.config.n_experts <= kRouteExpertsMax && top_k <= kRouteTopKMax) {
    if constexpr (kTakesBestLogits<kRoute>) {
      const Choice choice = choose_by_warp<kRoute>(p.config.n_experts, top_k, {row});
      const float weight = weight_of<kRoute>(p.config, choice);
      if (lane < top_k) ids[lane] = choice.id, weights[lane] = weight;
    }
  } else if (lane == 0) {
    kRoute(p.config, row, p.bias, token, ids, weights);
  }
}

}  // namespace polymath::backend::cuda
