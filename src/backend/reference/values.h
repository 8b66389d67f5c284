#pragma once

// Single values of the reference backend's tensors, weights and KV cache, as floats.

#include "backend/backend.h"

namespace polymath::backend {

inline float load(const Tensor& t, int64_t row, int64_t col) {
  const int64_t at = row * t.stride() + col;
  return t.dtype == DType::kF32 ? t.as<float>()[at] : tensor::bf16_to_f32(t.u16()[at]);
}

inline void store(const Tensor& t, int64_t row, int64_t col, float v) {
  const int64_t at = row * t.stride() + col;
  if (t.dtype == DType::kF32) {
    t.as<float>()[at] = v;
  } else {
    t.u16()[at] = tensor::f32_to_bf16(v);
  }
}

inline const std::byte* weight_row(const Weight& w, int64_t group, int64_t row) {
  const int64_t row_bytes = w.shape.cols / w.format->block_cols * w.format->block_bytes;
  return static_cast<const std::byte*>(w.data.data()) + (group * w.shape.rows + row) * row_bytes;
}

inline float weight_value(const Weight& w, int64_t group, int64_t row, int64_t col) {
  float v;
  w.format->dequantize(weight_row(w, group, row) + col * w.format->block_bytes, &v, 1);
  return v;
}

// Row i of x, from column `begin`, times a weight row. With bf16 weights the input is rounded to bf16 first.
inline float dot(const Tensor& x, int64_t i, int64_t begin, const Weight& w, int64_t group, int64_t row) {
  const bool round = w.format->dtype == DType::kBf16;
  float sum = 0;
  for (int64_t c = 0; c < w.shape.cols; ++c) {
    float v = load(x, i, begin + c);
    if (round) v = tensor::bf16_to_f32(tensor::f32_to_bf16(v));
    sum += v * weight_value(w, group, row, c);
  }
  return sum;
}

// Number `c` of a slot's keys (all heads), or of its values, which follow the block's keys.
inline Tensor kv_row(const KvLayer& kv, int64_t slot, bool value) {
  const KvShape& s = kv.shape;
  const int64_t key_row = static_cast<int64_t>(s.n_kv_heads) * s.key_dim;
  const int64_t value_row = s.latent ? 0 : static_cast<int64_t>(s.n_kv_heads) * s.value_dim;
  const int64_t block = slot / s.block_size, offset = slot % s.block_size;
  const int64_t at = block * s.block_size * (key_row + value_row) +
                     (value ? s.block_size * key_row + offset * value_row : offset * key_row);
  return {s.dtype,
          {1, value ? value_row : key_row},
          static_cast<std::byte*>(kv.data) + at * static_cast<int64_t>(tensor::dtype_bytes(s.dtype))};
}
inline float kv_load(const KvLayer& kv, int64_t slot, bool value, int64_t c) {
  return load(kv_row(kv, slot, value), 0, c);
}
inline void kv_store(const KvLayer& kv, int64_t slot, bool value, int64_t c, float v) {
  store(kv_row(kv, slot, value), 0, c, v);
}

}  // namespace polymath::backend
