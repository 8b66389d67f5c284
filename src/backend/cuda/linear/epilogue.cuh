#pragma once

// The end of a tensor-core GEMM's sums.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// As finished(), of a sum that has its bias, plus y's old value. Scale and sum round once, in every kernel.
__device__ __forceinline__ float finished_sum(const LinearEpilogue& e, float v, float before) {
  if (e.clamp > 0) v = v < -e.clamp ? -e.clamp : v > e.clamp ? e.clamp : v;
  return __fmaf_rn(v, e.scale, before);
}

}  // namespace polymath::backend::cuda
