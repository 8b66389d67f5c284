#pragma once

// PackedFormat::repack of the groups that Hugging Face's schemes store.

#include "backend/cuda/packed/packed.h"

namespace polymath::backend::cuda {

void repack_int4_g32(const Repack& repack, cudaStream_t stream);
void repack_int4_g128(const Repack& repack, cudaStream_t stream);
void repack_int8_g32(const Repack& repack, cudaStream_t stream);
void repack_int8_g128(const Repack& repack, cudaStream_t stream);
void repack_fp8_g32(const Repack& repack, cudaStream_t stream);
void repack_fp8_g128(const Repack& repack, cudaStream_t stream);

}  // namespace polymath::backend::cuda
