#pragma once

// A layer's cache in the kernels' type.

#include "backend/backend.h"
#include "backend/cuda/attention/attention.h"
#include "backend/cuda/views.h"

namespace polymath::backend::cuda {

inline Kv kv_of(const KvLayer& kv) {
  constexpr KvCode kCodes[] = {KvCode::kNone, KvCode::kE4M3, KvCode::kE5M2, KvCode::kInt8};  // as KvPacking
  const KvShape& s = kv.shape;
  return {.data = kv.data,
          .n_kv_heads = s.n_kv_heads,
          .key_dim = s.key_dim,
          .value_dim = s.value_dim,
          .block_size = s.block_size,
          .latent = s.latent,
          .type = type_of(s.dtype),
          .code = kCodes[static_cast<int>(s.packing)],
          .n_blocks = s.n_blocks};
}

}  // namespace polymath::backend::cuda
