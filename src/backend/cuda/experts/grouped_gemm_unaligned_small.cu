// Grouped GEMM of few tokens, any width. Bound by the weights' bytes; each is read once.
//
// A block has 16 weight rows of one expert and all of its tokens, in tiles of 8. Gated weights: 8 rows of the gate and
// the same 8 of up. Four warps split the inputs; a warp multiplies 32 a step (mma.sync), the weights being the 16-row
// operand.
//
// A sum may permute its inputs if both operands agree. So a lane takes 8 adjacent inputs of its row, one
// 16-byte load for two mma.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/experts/experts.h"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kTokens = 8;      // of a tile
constexpr int kInputs = 32;     // of a warp's step
constexpr int kLaneInputs = 8;  // 16 bytes
constexpr int kAhead = 4;       // steps whose weights are in flight

__device__ __forceinline__ uint4 stream_word(const __nv_bfloat16* from, bool there) {
  return there ? __ldcs(reinterpret_cast<const uint4*>(from)) : make_uint4(0, 0, 0, 0);
}

// Weight row of row `i` of the block's sixteen; -1: past the last.
__device__ __forceinline__ int64_t weight_row(const ExpertGemm& p, int i) {
  if (p.first) {
    const int64_t intermediate = p.w.rows / 2, index = static_cast<int64_t>(blockIdx.x) * 8 + i % 8;
    return index < intermediate ? index + (i >= 8 ? intermediate : 0) : -1;
  }
  const int64_t row = static_cast<int64_t>(blockIdx.x) * 16 + i;
  return row < p.w.rows ? row : -1;
}

// Epilogue of a lane's two sums for sorted pair j: rows i and i + 8 of the block's sixteen.
__device__ void finish(const ExpertGemm& p, int expert, int64_t j, int i, float2 sums) {
  const int32_t pair = p.groups.pairs[j];
  const float* bias = p.bias != nullptr ? p.bias + expert * p.w.rows : nullptr;
  if (!p.first) {
    const int64_t row = weight_row(p, i), row_high = weight_row(p, i + 8);
    if (row >= 0) put(p.y, pair, row, sums.x + (bias != nullptr ? bias[row] : 0.0f));
    if (row_high >= 0) put(p.y, pair, row_high, sums.y + (bias != nullptr ? bias[row_high] : 0.0f));
    return;
  }
  const int64_t intermediate = p.w.rows / 2, index = static_cast<int64_t>(blockIdx.x) * 8 + i;
  if (index >= p.y.cols) return;
  const float factor = p.input_weights != nullptr ? p.input_weights[pair] : 1.0f;
  float value = 0;  // of the padding
  if (index < intermediate) {
    value = glu_value(p.glu, factor * sums.x + (bias != nullptr ? bias[index] : 0.0f),
                      factor * sums.y + (bias != nullptr ? bias[intermediate + index] : 0.0f));
  }
  put(p.y, j, index, value);
}

// A lane's two weight rows; null: past the last.
struct WeightRows {
  const __nv_bfloat16 *low, *high;
};

// Sums of kTiles tiles of tokens from sorted pair `begin` on, over this warp's share of the inputs.
template <int kTiles>
__device__ void multiply(const ExpertGemm& p, const WeightRows& rows, int64_t begin, int64_t end,
                         float (&sums)[kTiles][4]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const __nv_bfloat16* inputs[kTiles];
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    const int64_t j = begin + t * kTokens + lane / 4;
    const int64_t row = j >= end ? -1 : p.first ? p.groups.pairs[j] / p.top_k : j;
    inputs[t] = row >= 0 ? static_cast<const __nv_bfloat16*>(p.x.data) + row * p.x.stride : nullptr;
  }
  const int64_t step = kWarps * kInputs;
  for (int64_t first = warp * kInputs; first < p.w.stride; first += kAhead * step) {  // the same for all lanes
    const int64_t k = first + lane % 4 * kLaneInputs;
    uint4 a[kAhead], b[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const bool inside = k + i * step < p.w.stride;
      a[i] = stream_word(rows.low + k + i * step, inside && rows.low != nullptr);
      b[i] = stream_word(rows.high + k + i * step, inside && rows.high != nullptr);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const bool inside = k + i * step < p.x.cols;
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const bool there = inside && inputs[t] != nullptr;
        const uint4 x = there ? *reinterpret_cast<const uint4*>(inputs[t] + k + i * step) : make_uint4(0, 0, 0, 0);
        mma_bf16(sums[t], a[i].x, b[i].x, a[i].y, b[i].y, x.x, x.y);
        mma_bf16(sums[t], a[i].z, b[i].z, a[i].w, b[i].w, x.z, x.w);
      }
    }
  }
}

template <int kTiles>
__global__ void __launch_bounds__(kThreads) unaligned_small_kernel(ExpertGemm p) {
  wait_for_input();
  __shared__ Piece place;
  __shared__ float4 shares[kWarps][kTiles][kWarp];
  const int32_t* offsets = p.groups.offsets;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (warp == 0) {  // the blockIdx.y-th of the experts that have tokens
    const Piece found = find_piece(static_cast<int>(blockIdx.y), p.groups.n_experts,
                                   [=](int e) { return offsets[e + 1] > offsets[e] ? 1 : 0; });
    if (lane == 0) place = found;
  }
  __syncthreads();
  const int expert = place.item;
  if (expert < 0) return;
  const auto* weights = static_cast<const __nv_bfloat16*>(p.w.data) + expert * p.w.rows * p.w.stride;
  const int64_t row = weight_row(p, lane / 4), row_high = weight_row(p, lane / 4 + 8);
  const WeightRows rows{row >= 0 ? weights + row * p.w.stride : nullptr,
                        row_high >= 0 ? weights + row_high * p.w.stride : nullptr};

  const int64_t end = offsets[expert + 1];
  for (int64_t begin = offsets[expert]; begin < end; begin += kTiles * kTokens) {
    float sums[kTiles][4] = {};
    multiply<kTiles>(p, rows, begin, end, sums);
    __syncthreads();  // the last tokens' shares are read
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
      shares[warp][t][lane] = make_float4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
    __syncthreads();
    for (int t = warp; t < kTiles; t += kWarps) {
      float4 sum = shares[0][t][lane];
      for (int w = 1; w < kWarps; ++w) sum = add(sum, shares[w][t][lane]);
      const int64_t j = begin + t * kTokens + lane % 4 * 2;
      if (j < end) finish(p, expert, j, lane / 4, {sum.x, sum.z});
      if (j + 1 < end) finish(p, expert, j + 1, lane / 4, {sum.y, sum.w});
    }
  }
}

}  // namespace

void grouped_gemm_unaligned_small(const ExpertGemm& p, int64_t n_tokens, cudaStream_t stream) {
  if (p.groups.n_pairs == 0) return;
  const int64_t rows = p.first ? ceil_div(p.y.cols, 8) : ceil_div(p.w.rows, 16);
  const int64_t experts = min(static_cast<int64_t>(p.groups.n_experts), p.groups.n_pairs);
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(experts));
  if (n_tokens <= kTokens) {
    launch_after(unaligned_small_kernel<1>, {grid, dim3(kThreads), 0, stream}, p);
  } else if (n_tokens <= 2 * kTokens) {
    launch_after(unaligned_small_kernel<2>, {grid, dim3(kThreads), 0, stream}, p);
  } else {
    launch_after(unaligned_small_kernel<4>, {grid, dim3(kThreads), 0, stream}, p);
  }
}

}  // namespace polymath::backend::cuda
