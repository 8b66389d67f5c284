#pragma once

// The sums of moe_fused_small_m's outputs as those of grouped_gemm_sm90, which rounds its outputs.

#include "backend/cuda/experts/experts.h"

namespace polymath::backend::cuda {

// combine() of f32 rows, each element rounded to `type` first: f16 or bf16.
void combine_rounded(const Combine& combine, Type type, cudaStream_t stream);

}  // namespace polymath::backend::cuda
