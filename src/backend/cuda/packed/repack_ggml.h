#pragma once

// PackedFormat::repack of ggml's formats.

#include "backend/cuda/packed/packed.h"

namespace polymath::backend::cuda {

void repack_q8_0(const Repack& repack, cudaStream_t stream);
void repack_q5_0(const Repack& repack, cudaStream_t stream);
void repack_q4_0(const Repack& repack, cudaStream_t stream);
void repack_q4_k(const Repack& repack, cudaStream_t stream);
void repack_q6_k(const Repack& repack, cudaStream_t stream);
void repack_mxfp4(const Repack& repack, cudaStream_t stream);

}  // namespace polymath::backend::cuda
