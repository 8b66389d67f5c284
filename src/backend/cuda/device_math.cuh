#pragma once

// Shared by the kernels: elements of any type as floats, sums over warps and blocks, mma.sync.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ float value_at(const void* data, Type type, int64_t i) {
  if (type == Type::kF32) return static_cast<const float*>(data)[i];
  if (type == Type::kBf16) return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  return __half2float(static_cast<const __half*>(data)[i]);
}

__device__ __forceinline__ void put_at(void* data, Type type, int64_t i, float v) {
  if (type == Type::kF32) {
    static_cast<float*>(data)[i] = v;
  } else if (type == Type::kBf16) {
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(v);
  } else {
    // Saturated: one infinity would make the whole row NaN. A NaN stays NaN.
    static_cast<__half*>(data)[i] = __float2half_rn(v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v);
  }
}

__device__ __forceinline__ float at(const Matrix& m, int64_t row, int64_t col) {
  return value_at(m.data, m.type, row * m.stride + col);
}
__device__ __forceinline__ void put(const Matrix& m, int64_t row, int64_t col, float v) {
  put_at(m.data, m.type, row * m.stride + col, v);
}

__device__ __forceinline__ uint32_t two_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

__device__ __forceinline__ float4 add(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

template <typename T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v += __shfl_xor_sync(kAllLanes, v, step);
  return v;
}
__device__ __forceinline__ float warp_max(float v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, step));
  return v;
}

// Inclusive prefix sum over the lanes.
template <typename T>
__device__ __forceinline__ T warp_prefix(T v) {
  const int lane = threadIdx.x % kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const T other = __shfl_up_sync(kAllLanes, v, step);
    if (lane >= step) v += other;
  }
  return v;
}

// The sum over all threads, in a fixed order. Every thread gets it.
template <int kThreads, typename T>
__device__ __forceinline__ T block_sum(T v) {
  v = warp_sum(v);
  if constexpr (kThreads > kWarp) {
    __shared__ T sums[kThreads / kWarp];
    __syncthreads();  // the last sum has been read
    if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = v;
    __syncthreads();
    v = 0;
    for (int i = 0; i < kThreads / kWarp; ++i) v += sums[i];
  }
  return v;
}

// Finds piece `index` of `pieces(i)` pieces of each of n items: the item, and the piece within it. Called by a whole
// warp. Item -1: fewer pieces.
struct Piece {
  int item = -1, piece = 0;
};
template <typename Pieces>
__device__ __forceinline__ Piece find_piece(int index, int n, Pieces pieces) {
  const int lane = threadIdx.x % kWarp;
  int before = 0;
  for (int first = 0; first < n; first += kWarp) {
    const int mine = first + lane < n ? pieces(first + lane) : 0;
    const int through = warp_prefix(mine);
    const unsigned past = __ballot_sync(kAllLanes, before + through > index);
    if (past != 0) {
      const int found = __ffs(past) - 1;
      return {first + found, index - before - __shfl_sync(kAllLanes, through - mine, found)};
    }
    before += __shfl_sync(kAllLanes, through, kWarp - 1);
  }
  return {};
}

// d += a b: 16 x 16 times 16 x 8, bf16 with f32 sums. Lane l holds of a: rows l/4 (a0, a2) and l/4 + 8 (a1, a3).
// Columns: 2 (l%4) + {0, 1} (a0, a1) and + 8 (a2, a3). Of b: column l/4, the same rows. Of d: rows l/4 (d0, d1) and l/4
// + 8 (d2, d3), columns 2 (l%4) + {0, 1}. Source: PTX ISA 9.0, "Matrix Fragments for mma.m16n8k16".
__device__ __forceinline__ void mma_bf16(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                         uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// The epilogue of a linear's sum for weight row `row`, without y's old value.
__device__ __forceinline__ float finished(const LinearEpilogue& e, int64_t row, float v) {
  if (e.bias != nullptr) v += e.bias[row];
  if (e.clamp > 0) v = v < -e.clamp ? -e.clamp : v > e.clamp ? e.clamp : v;
  return v * e.scale;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Called by all threads: true in the last of `n` blocks to arrive. It sees the others' writes past the L1 cache.
// `counter`: zero before and after.
__device__ __forceinline__ bool is_last(unsigned* counter, unsigned n) {
  if (n > 1) __threadfence();
  __syncthreads();
  if (n == 1) return true;
  __shared__ bool last;
  if (threadIdx.x == 0) last = atomicInc(counter, n - 1) == n - 1;
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace polymath::backend::cuda
