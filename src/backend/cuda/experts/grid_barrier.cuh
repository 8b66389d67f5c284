#pragma once

// What the persistent kernels of a single token share: a grid-wide barrier, and a division without integer division.

#include <cuda_runtime_api.h>

namespace polymath::backend::cuda {

// Quotient and remainder; `inverse`: 1 / d.
struct Division {
  int quotient, rest;
  __device__ __forceinline__ Division(int n, int d, float inverse) {
    quotient = __float2int_rd(static_cast<float>(n) * inverse);
    rest = n - quotient * d;
    if (rest < 0) --quotient, rest += d;
    if (rest >= d) ++quotient, rest -= d;
  }
};

// Grid-wide barrier; afterwards other blocks' writes are visible past the L1 cache. A pass adds 2^31 to the counter;
// its other bits are zero before and after. The top bit flips when all have arrived.
__device__ __forceinline__ void meet(unsigned* counter) {
  constexpr unsigned kAllThere = 1u << 31;
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned mine = blockIdx.x == 0 ? kAllThere - (gridDim.x - 1) : 1;
    unsigned before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;" : "=r"(before) : "l"(counter), "r"(mine) : "memory");
    unsigned seen = before + mine;
    while (((before ^ seen) & kAllThere) == 0) {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    }
  }
  __syncthreads();
}

}  // namespace polymath::backend::cuda
