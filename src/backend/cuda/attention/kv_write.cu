// Writes keys and values into the paged cache; its layout is `Kv` in attention.h.

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void kv_write_kernel(Kv kv, Matrix k, Matrix v, const int32_t* slots) {
  wait_for_input();
  const int64_t row = blockIdx.x, slot = slots[row], block = slot / kv.block_size, offset = slot % kv.block_size;
  if (slot < 0) return;
  for (int i = threadIdx.x; i < kv.n_kv_heads * kv.key_dim; i += kThreads) {
    const int64_t to = key_place(kv, block, i / kv.key_dim, offset) + i % kv.key_dim;
    put_at(kv.data, kv.type, to, at(k, row, i));
  }
  if (kv.latent) return;
  for (int i = threadIdx.x; i < kv.n_kv_heads * kv.value_dim; i += kThreads) {
    const int64_t to = value_place(kv, block, i / kv.value_dim, offset) + i % kv.value_dim;
    put_at(kv.data, kv.type, to, at(v, row, i));
  }
}

// A warp a head: of the keys, then of the values.
__global__ void packed_write_kernel(Kv kv, Matrix k, Matrix v, const int32_t* slots) {
  constexpr int kEach = kKeyDimMax / kWarp;  // elements of a lane
  wait_for_input();
  const int64_t row = blockIdx.x, slot = slots[row];
  if (slot < 0) return;
  const int heads = kv.n_kv_heads * (kv.latent ? 1 : 2), lane = threadIdx.x % kWarp;
  for (int i = threadIdx.x / kWarp; i < heads; i += kThreads / kWarp) {
    const bool value = i >= kv.n_kv_heads;
    const int head = value ? i - kv.n_kv_heads : i, dim = value ? kv.value_dim : kv.key_dim;
    float elements[kEach];
#pragma unroll
    for (int n = 0; n < kEach; ++n) {
      const int c = lane + n * kWarp;
      elements[n] = c < dim ? at(value ? v : k, row, static_cast<int64_t>(head) * dim + c) : 0.0f;
    }
    put_packed_head(kv, packed_place(kv, slot, head, value), dim, elements);
  }
}

}  // namespace

void kv_write(const Kv& kv, const Matrix& k, const Matrix& v, const int32_t* slots, cudaStream_t stream) {
  if (k.rows == 0) return;
  const auto kernel = kv.packed() ? packed_write_kernel : kv_write_kernel;
  launch_after(kernel, {dim3(static_cast<unsigned>(k.rows)), dim3(kThreads), 0, stream}, kv, k, v, slots);
}

}  // namespace polymath::backend::cuda
