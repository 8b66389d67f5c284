#pragma once

// Offsets of a token's key and value of a head in the cache, in elements.

#include "backend/cuda/attention/attention.h"

namespace polymath::backend::cuda {

__device__ __forceinline__ int64_t block_elements(const Kv& kv) {
  return static_cast<int64_t>(kv.block_size) * kv.n_kv_heads * (kv.key_dim + (kv.latent ? 0 : kv.value_dim));
}
__device__ __forceinline__ int64_t key_place(const Kv& kv, int64_t block, int64_t head, int64_t offset) {
  return block * block_elements(kv) + (head * kv.block_size + offset) * kv.key_dim;
}
// A latent cache stores no values: they are the first elements of the keys.
__device__ __forceinline__ int64_t value_place(const Kv& kv, int64_t block, int64_t head, int64_t offset) {
  if (kv.latent) return key_place(kv, block, head, offset);
  const int64_t keys = static_cast<int64_t>(kv.block_size) * kv.n_kv_heads * kv.key_dim;
  return block * block_elements(kv) + keys + (head * kv.block_size + offset) * kv.value_dim;
}

}  // namespace polymath::backend::cuda
