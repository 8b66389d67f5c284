// Rows to E4M3. A warp a row reads it twice, the second time from the caches.

#include <cuda_fp8.h>

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/packed/e4m3.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4, kEach = 16;  // inputs of a lane at once

__device__ __forceinline__ void fetch(const Matrix& x, int64_t row, int64_t col, bool words, float (&v)[kEach]) {
  if (words) {
    const auto* const from =
        reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x.data) + row * x.stride + col);
    const uint4 both[2] = {from[0], from[1]};
    const auto* const pairs = reinterpret_cast<const uint32_t*>(both);
#pragma unroll
    for (int i = 0; i < kEach / 2; ++i) {
      v[2 * i] = __uint_as_float(pairs[i] << 16), v[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = __bfloat162float(__float2bfloat16_rn(at(x, row, col + i)));
}

__device__ __forceinline__ uint32_t two_codes(float low, float high) {
  return __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, __NV_E4M3);
}

// Exponent of the scale: the largest input over it is in (224, 448].
__device__ __forceinline__ int exponent_of(float largest) {
  constexpr int kBias = 127, kTop = 8, kLeast = 1 - kBias, kMost = 126;
  const uint32_t bits = __float_as_uint(largest);
  const int exponent = static_cast<int>(bits >> 23) - kBias - kTop + ((bits & 0x7fffffu) > 0x600000u ? 1 : 0);
  return min(max(exponent, kLeast), kMost);
}
__device__ __forceinline__ float power_of_two(int exponent) {
  return __uint_as_float(static_cast<uint32_t>(exponent + 127) << 23);
}

__global__ void __launch_bounds__(kWarps* kWarp) e4m3_rows_kernel(const __grid_constant__ E4m3Rows p, bool words) {
  let_next_begin();
  wait_for_input();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int64_t n = p.groups.offsets != nullptr ? p.groups.offsets[p.groups.n_experts] : p.x.rows;
  if (row >= n) return;
  const int64_t from = p.gather ? static_cast<unsigned>(p.groups.pairs[row]) / static_cast<unsigned>(p.top_k) : row;
  const int lane = threadIdx.x % kWarp;
  float v[kEach], largest = 0;
  for (int64_t col = lane * kEach; col < p.x.cols; col += kWarp * kEach) {
    fetch(p.x, from, col, words, v);
#pragma unroll
    for (int i = 0; i < kEach; ++i) largest = fmaxf(largest, fabsf(v[i]));
  }
  const int exponent = exponent_of(warp_max(largest));
  const float inverse = power_of_two(-exponent);
  auto* const to = static_cast<uint8_t*>(p.to.data) + row * p.to.stride * 2;
  for (int64_t first = 0; first < p.x.cols; first += kWarp * kEach) {
    const int64_t col = first + lane * kEach;
    const bool there = col < p.x.cols;
    if (there) fetch(p.x, from, col, words, v);
    __syncwarp();  // in place: codes overwrite inputs that have been read
    if (!there) continue;
#pragma unroll
    for (int i = 0; i < kEach; ++i) v[i] *= inverse;
    uint32_t codes[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      codes[c] = two_codes(v[2 * c], v[2 * c + 8]) | two_codes(v[2 * c + 1], v[2 * c + 9]) << 16;
    }
    *reinterpret_cast<uint4*>(to + col) = make_uint4(codes[0], codes[1], codes[2], codes[3]);
  }
  __syncwarp();
  if (lane == 0) *reinterpret_cast<float*>(to + p.x.cols) = power_of_two(exponent);
}

}  // namespace

void e4m3_rows(const E4m3Rows& p, cudaStream_t stream) {
  const int64_t rows = p.groups.offsets != nullptr ? p.groups.n_pairs : p.x.rows;
  const bool words = p.x.type == Type::kBf16 && rows_aligned(p.x, 16);
  const dim3 blocks(static_cast<unsigned>(ceil_div(rows, kWarps)));
  if (rows > 0) launch_after(e4m3_rows_kernel, {blocks, dim3(kWarps * kWarp), 0, stream}, p, words);
}

}  // namespace polymath::backend::cuda
