// Samples the token after a row of logits, by the steps of engine/sampling.
//
// A block a row. A cut is a floor: a logit, and the largest id kept among its equals. A radix select finds it without
// sorting, from the highest digit of the logits' order on. A histogram shows the bin that reaches the wanted count
// (top_k) or mass (top_p). Weights are summed as integers of 2^-40, so the order of threads changes nothing.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/sample.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kDigits = 256;
constexpr float kWeightOne = 1099511627776.0f;  // 2^40
using Amount = unsigned long long;

// Monotonic in the float; NaNs are handled before.
__device__ __forceinline__ uint32_t order_of(float v) {
  const uint32_t bits = __float_as_uint(v);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct Floor {
  uint32_t order = 0;
  int id = 0x7fffffff;
  __device__ bool holds(uint32_t other, int other_id) const {
    return other > order || (other == order && other_id <= id);
  }
};

struct RowLogits {
  const float* logits;
  int n;
  float best, inverse_temperature;
  __device__ Amount weight(int i) const {
    return static_cast<Amount>(expf((logits[i] - best) * inverse_temperature) * kWeightOne);
  }
};

struct Shared {
  Amount bins[kDigits];
  Amount scan[kThreads / kWarp];
  Amount before;
  uint32_t digit;
  int id;
};

// The sum of `mine` over the threads before this one; `all` becomes the total.
__device__ Amount sum_before(Amount mine, Shared& shared, Amount& all) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const Amount through = warp_prefix(mine);
  __syncthreads();
  if (lane == kWarp - 1) shared.scan[warp] = through;
  __syncthreads();
  Amount before = through - mine;
  all = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) {
    if (w < warp) before += shared.scan[w];
    all += shared.scan[w];
  }
  return before;
}

// The first id at which the running sum of `amount` passes `target`. Each thread has a range of ids.
template <typename AmountOf>
__device__ int find_id(const RowLogits& row, Amount target, Shared& shared, AmountOf amount) {
  const int each = (row.n + kThreads - 1) / kThreads;
  const int begin = min(row.n, static_cast<int>(threadIdx.x) * each), end = min(row.n, begin + each);
  Amount mine = 0, all = 0;
  for (int i = begin; i < end; ++i) mine += amount(i);
  if (threadIdx.x == 0) shared.id = -1;
  Amount sum = sum_before(mine, shared, all);
  if (mine > 0 && sum <= target && target < sum + mine) {
    for (int i = begin; i < end; ++i) {
      sum += amount(i);
      if (sum > target) {
        shared.id = i;
        break;
      }
    }
  }
  __syncthreads();
  return shared.id;
}

// The floor at which `amount`, summed from the top with the floor itself, reaches `wanted`. REQUIRES: 1 <= wanted <=
// the total.
template <typename AmountOf>
__device__ Floor find_floor(const RowLogits& row, Amount wanted, Shared& shared, AmountOf amount) {
  uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < kDigits; i += kThreads) shared.bins[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < row.n; i += kThreads) {
      const uint32_t order = order_of(row.logits[i]);
      if (shift < 24 && order >> (shift + 8) != prefix) continue;
      const Amount a = amount(i);
      if (a > 0) atomicAdd(&shared.bins[order >> shift & 255], a);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      Amount above = 0;
      int digit = kDigits - 1;
      while (digit > 0 && above + shared.bins[digit] < wanted) above += shared.bins[digit--];
      shared.digit = static_cast<uint32_t>(digit);
      shared.before = above;
    }
    __syncthreads();
    prefix = prefix << 8 | shared.digit;
    wanted -= shared.before;
    __syncthreads();
  }
  const int id = find_id(row, wanted - 1, shared,
                         [&](int i) { return order_of(row.logits[i]) == prefix ? amount(i) : Amount{0}; });
  return {prefix, id};
}

__device__ int draw(const RowLogits& row, const SampleParams& p, Shared& shared) {
  Floor floor;
  if (p.min_p > 0) floor = {order_of(row.best + logf(p.min_p) / row.inverse_temperature), 0x7fffffff};
  const auto stays = [&](int i) { return floor.holds(order_of(row.logits[i]), i); };
  const auto one = [&](int i) { return Amount{stays(i)}; };
  const auto weight = [&](int i) { return stays(i) ? row.weight(i) : Amount{0}; };
  const auto sum_of = [&](auto amount) {
    Amount mine = 0;
    for (int i = threadIdx.x; i < row.n; i += kThreads) mine += amount(i);
    return block_sum<kThreads>(mine);
  };
  if (p.top_k > 0 && p.top_k < row.n) {
    const Amount all = sum_of(one), wanted = static_cast<Amount>(p.top_k);
    if (wanted < all) floor = find_floor(row, wanted, shared, one);
  }
  Amount all = sum_of(weight);
  if (p.top_p < 1) {
    const auto wanted = static_cast<Amount>(static_cast<double>(all) * p.top_p);
    floor = find_floor(row, wanted < 1 ? 1 : wanted, shared, weight);
    all = sum_of(weight);
  }
  const auto target = static_cast<Amount>(static_cast<double>(all) * p.uniform);
  return find_id(row, target < all ? target : all - 1, shared, weight);
}

__global__ void __launch_bounds__(kThreads) sample_kernel(Matrix logits, const SampleParams* params, int32_t* ids) {
  __shared__ Shared shared;
  wait_for_input();
  const float* row = static_cast<const float*>(logits.data) + blockIdx.x * logits.stride;
  const int n = static_cast<int>(logits.cols);
  float best = -INFINITY;
  int best_id = 0x7fffffff;
  bool broken = false;
  for (int i = threadIdx.x; i < n; i += kThreads) {
    const float v = row[i];
    broken = broken || !(v < INFINITY);
    if (v > best) best = v, best_id = i;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, best, step);
    const int other_id = __shfl_xor_sync(kAllLanes, best_id, step);
    if (other > best || (other == best && other_id < best_id)) best = other, best_id = other_id;
  }
  __shared__ float bests[kThreads / kWarp];
  __shared__ int best_ids[kThreads / kWarp];
  if (threadIdx.x % kWarp == 0) bests[threadIdx.x / kWarp] = best, best_ids[threadIdx.x / kWarp] = best_id;
  broken = __syncthreads_or(broken);
  for (int w = 0; w < kThreads / kWarp; ++w) {
    if (bests[w] > best || (bests[w] == best && best_ids[w] < best_id)) best = bests[w], best_id = best_ids[w];
  }
  const SampleParams p = params[blockIdx.x];
  int id = best_id;
  if (broken || !(best > -INFINITY)) {
    id = -1;
  } else if (p.temperature > 0) {
    id = draw({row, n, best, 1.0f / p.temperature}, p, shared);
    if (id < 0) id = best_id;
  }
  if (threadIdx.x == 0) ids[blockIdx.x] = id;
}

__global__ void take_sampled_kernel(const int32_t* chosen, const int32_t* rows, int32_t* tokens, int n) {
  wait_for_input();
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < n && rows[i] >= 0) tokens[i] = chosen[rows[i]];
}

}  // namespace

void sample(const Matrix& logits, const SampleParams* params, int32_t* ids, cudaStream_t stream) {
  if (logits.rows == 0) return;
  launch_after(sample_kernel, {dim3(static_cast<unsigned>(logits.rows)), dim3(kThreads), 0, stream}, logits, params,
               ids);
}

void take_sampled(const int32_t* chosen, const int32_t* rows, int32_t* tokens, int64_t n, cudaStream_t stream) {
  if (n == 0) return;
  launch_after(take_sampled_kernel, {dim3(static_cast<unsigned>(ceil_div(n, kThreads))), dim3(kThreads), 0, stream},
               chosen, rows, tokens, static_cast<int>(n));
}

}  // namespace polymath::backend::cuda
