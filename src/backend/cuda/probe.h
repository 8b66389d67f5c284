#pragma once

// Kernels that probe the device itself: its read bandwidth (limits.cu), and a fault for tests (fault.cu).

#include <cuda_runtime_api.h>

#include <cstdint>

namespace polymath::backend::cuda {

// Reads every byte; `sink`'s value depends on them all.
void read_all(const void* data, int64_t bytes, float* sink, int n_multiprocessors, cudaStream_t stream);
void make_fault(cudaStream_t stream);

}  // namespace polymath::backend::cuda
