// Writes keys and values into the paged cache; its layout is `Kv` in attention.h.

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/attention/kv_layout.cuh"
#include "backend/cuda/device_math.cuh"
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

}  // namespace

void kv_write(const Kv& kv, const Matrix& k, const Matrix& v, const int32_t* slots, cudaStream_t stream) {
  if (k.rows == 0) return;
  launch_after(kv_write_kernel, {dim3(static_cast<unsigned>(k.rows)), dim3(kThreads), 0, stream}, kv, k, v, slots);
}

}  // namespace polymath::backend::cuda
