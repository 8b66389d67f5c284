#pragma once

// Sampling on the device, as backend::Backend::sample and take_sampled.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

void sample(const Matrix& logits, const SampleParams* params, int32_t* ids, cudaStream_t stream);
// tokens[i] = sampled[rows[i]] where rows[i] >= 0; n of them.
void take_sampled(const int32_t* sampled, const int32_t* rows, int32_t* tokens, int64_t n, cudaStream_t stream);

}  // namespace polymath::backend::cuda
