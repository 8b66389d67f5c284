// The sums that end a layer's experts: each token's choices and its shared expert, weighted.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/experts/experts.h"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 128;

// kWide adjacent elements of a thread: four in one load, or one.
template <int kWide>
struct Elements {
  float v[kWide];
  __device__ static __forceinline__ Elements at(const float* from) {
    Elements n;
    if constexpr (kWide == 4) {
      const float4 four = *reinterpret_cast<const float4*>(from);
      n.v[0] = four.x, n.v[1] = four.y, n.v[2] = four.z, n.v[3] = four.w;
    } else {
      n.v[0] = *from;
    }
    return n;
  }
};

// A row to add to a token: every part of its choices, then of the shared expert.
struct Addend {
  const float* row = nullptr;
  float weight = 0;
  bool there = false;
};
__device__ __forceinline__ Addend addend_of(const Combine& c, int64_t token, int i) {
  const int of_choices = static_cast<int>(c.top_k) * c.parts;
  if (i >= of_choices) {
    const int part = i - of_choices;
    if (c.shared.data == nullptr || part >= c.shared_parts) return {};
    return {static_cast<const float*>(c.shared.data) + (token * c.shared_parts + part) * c.shared.stride,
            c.shared_scale * c.shared_weights[token], true};
  }
  const int64_t pair = token * c.top_k + i / c.parts;
  const bool there = c.ids[pair] >= 0;
  const int64_t row = c.row_of == nullptr ? pair : there ? c.row_of[pair] : 0;
  return {static_cast<const float*>(c.y.data) + (row * c.parts + i % c.parts) * c.y.stride,
          c.scale * (c.weights != nullptr ? c.weights[pair] : 1.0f), there};
}

// Adds all of a token's rows to `sum`, in their order, from column `col` on.
template <int kWide>
__device__ __forceinline__ void add_all(const Combine& c, int64_t token, int64_t col, float (&sum)[kWide]) {
  constexpr int kTogether = 8;  // rows in flight together
  const int n = static_cast<int>(c.top_k) * c.parts + (c.shared.data != nullptr ? c.shared_parts : 0);
  for (int first = 0; first < n; first += kTogether) {
    Addend addends[kTogether];
    Elements<kWide> values[kTogether];
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {  // ids are loaded beside the rows, not before
      if (first + i >= n) continue;
      addends[i] = addend_of(c, token, first + i);
      values[i] = Elements<kWide>::at(addends[i].row + col);
    }
#pragma unroll
    for (int i = 0; i < kTogether * kWide; ++i) {
      const Addend& addend = addends[i / kWide];
      if (addend.there) sum[i % kWide] += addend.weight * values[i / kWide].v[i % kWide];
    }
  }
}

__device__ __forceinline__ void clear_counters(const Combine& c) {
  if (blockIdx.x > 0 || blockIdx.y > 0) return;
  for (int i = threadIdx.x; i < c.n_counters; i += static_cast<int>(blockDim.x)) c.counters[i] = 0;
}

template <int kWide>
__global__ void __launch_bounds__(kThreads) combine_kernel(Combine c) {
  let_next_begin();
  wait_for_input();
  const int64_t token = blockIdx.x;
  const int64_t col = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWide;
  clear_counters(c);
  if (col >= c.out.cols) return;
  float sum[kWide];
#pragma unroll
  for (int k = 0; k < kWide; ++k) sum[k] = at(c.out, token, col + k);
  add_all<kWide>(c, token, col, sum);
#pragma unroll
  for (int k = 0; k < kWide; ++k) put(c.out, token, col + k, sum[k]);
}

bool in_words(const Combine& c) {
  const auto whole = [](const Matrix& m) { return m.data == nullptr || (m.cols % 4 == 0 && rows_aligned(m, 16)); };
  return whole(c.y) && whole(c.shared) && c.out.cols % 4 == 0;
}

}  // namespace

void combine(const Combine& c, cudaStream_t stream) {
  if (c.out.rows == 0) return;
  const bool wide = in_words(c);
  const auto across = static_cast<unsigned>(ceil_div(c.out.cols, kThreads * (wide ? 4 : 1)));
  launch_after(wide ? combine_kernel<4> : combine_kernel<1>,
               {dim3(static_cast<unsigned>(c.out.rows), across), dim3(kThreads), 0, stream}, c);
}

}  // namespace polymath::backend::cuda
