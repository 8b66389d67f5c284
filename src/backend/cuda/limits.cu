// Measures read bandwidth: 16 bytes a load, four loads in flight a thread.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/probe.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kInFlight = 4;

__global__ void read_kernel(const uint4* data, int64_t n, float* sink) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  uint32_t mixed = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i + (kInFlight - 1) * step < n;
       i += kInFlight * step) {
    uint4 v[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) v[k] = __ldcs(data + i + k * step);
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) mixed ^= v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
  }
  if (mixed == 0x9e3779b9u) *sink = 1;
}

}  // namespace

void read_all(const void* data, int64_t bytes, float* sink, int n_multiprocessors, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(4 * n_multiprocessors);
  read_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const uint4*>(data), bytes / 16, sink);
}

}  // namespace polymath::backend::cuda
