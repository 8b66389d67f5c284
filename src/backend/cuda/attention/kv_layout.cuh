#pragma once

// Places of a token's key and value of a head in the cache.

#include "backend/cuda/attention/attention.h"

namespace polymath::backend::cuda {

// Unpacked, in elements.
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

// Packed: in bytes.
struct PackedPlace {
  int64_t codes, scale;
};
__device__ __forceinline__ PackedPlace packed_place(const Kv& kv, int64_t slot, int head, bool value) {
  const int tokens = page_tokens(kv.block_size), pages = kv.block_size / tokens * kv.n_kv_heads;
  const int key_bytes = page_bytes(tokens, kv.key_dim), value_bytes = kv.latent ? 0 : page_bytes(tokens, kv.value_dim);
  const int64_t block = slot / kv.block_size;
  const int offset = static_cast<int>(slot % kv.block_size), page = head * (kv.block_size / tokens) + offset / tokens;
  const bool apart = value && !kv.latent;
  const int dim = apart ? kv.value_dim : kv.key_dim, bytes = apart ? value_bytes : key_bytes;
  const int64_t at =
      block * pages * (key_bytes + value_bytes) + (apart ? pages * key_bytes : 0) + static_cast<int64_t>(page) * bytes;
  return {at + offset % tokens * dim, at + bytes - (tokens - offset % tokens) * 4};
}

// Of each whole 16 elements the two halves are interleaved. So a word's bytes 0 and 2 are neighbours, as are 1 and 3.
// mma's operands have such pairs.
__device__ __forceinline__ int code_place(int element, int dim) {
  return element < (dim & ~15) ? (element & ~15) | (element & 7) << 1 | (element >> 3 & 1) : element;
}

}  // namespace polymath::backend::cuda
