#pragma once

// The reference backend's tensors, KV cache and weight rows, as floats.

#include <cmath>
#include <vector>

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

// A weight's buffers: packed values [groups][rows][cols], and a tensor of parameters for each group.
struct WeightLayout {
  explicit WeightLayout(const WeightShape& shape, const quant::QuantFormat& format)
      : blocks_down((shape.rows + format.block_rows - 1) / format.block_rows),
        blocks_across((shape.cols + format.block_cols - 1) / format.block_cols),
        group_bytes(format.bytes_of(shape.rows * shape.cols)),
        scale_bytes(param_bytes(format.scales)),
        zero_bytes(param_bytes(format.zeros)),
        param_stride(format.scales.transposed ? blocks_down : blocks_across) {}

  int64_t blocks_down, blocks_across;
  int64_t group_bytes, scale_bytes, zero_bytes;  // of a group
  int64_t param_stride;

 private:
  int64_t param_bytes(const quant::ParamSpec& spec) const {
    return spec.present() ? blocks_down * blocks_across * static_cast<int64_t>(tensor::dtype_bytes(spec.dtype)) : 0;
  }
};

// One group of a weight.
inline quant::MatrixView weight_view(const Weight& w, int64_t group) {
  const WeightLayout at(w.shape, *w.format);
  const auto part = [group](const Buffer& buffer, int64_t bytes) -> const std::byte* {
    return buffer.data() == nullptr ? nullptr : static_cast<const std::byte*>(buffer.data()) + group * bytes;
  };
  return {w.format,
          part(w.data, at.group_bytes),
          w.shape.rows,
          w.shape.cols,
          w.shape.cols,
          1,
          part(w.scales, at.scale_bytes),
          part(w.zeros, at.zero_bytes),
          at.param_stride};
}

// A weight's row as floats. The whole row is unpacked, because a format unpacks whole blocks only.
class WeightRow {
 public:
  WeightRow(const Weight& w, int64_t group, int64_t row) : values_(w.shape.cols), bf16_(w.format == &quant::kBf16) {
    weight_view(w, group).read_row(row, 0, w.shape.cols, values_.data());
  }
  float operator[](int64_t col) const { return values_[col]; }

  // Row i of x, from column `begin`, times this row. With bf16 weights the input is rounded to bf16 first.
  float dot(const Tensor& x, int64_t i, int64_t begin) const {
    float sum = 0;
    for (int64_t c = 0; c < static_cast<int64_t>(values_.size()); ++c) {
      float v = load(x, i, begin + c);
      if (bf16_) v = tensor::bf16_to_f32(tensor::f32_to_bf16(v));
      sum += v * values_[c];
    }
    return sum;
  }

 private:
  std::vector<float> values_;
  bool bf16_;
};

inline int64_t kv_block_bytes(const KvShape& s) {
  const int64_t elements =
      static_cast<int64_t>(s.block_size) * s.n_kv_heads * (s.key_dim + (s.latent ? 0 : s.value_dim));
  if (s.packing == KvPacking::kNone) return elements * static_cast<int64_t>(tensor::dtype_bytes(s.dtype));
  return (elements + 3) / 4 * 4 + static_cast<int64_t>(s.block_size) * s.n_kv_heads * (s.latent ? 1 : 2) * 4;
}

// A slot's keys of all heads, or its values. A block's values follow its keys.
inline Tensor kv_row(const KvLayer& kv, int64_t slot, bool value) {
  const KvShape& s = kv.shape;
  const int64_t key_row = static_cast<int64_t>(s.n_kv_heads) * s.key_dim;
  const int64_t value_row = s.latent ? 0 : static_cast<int64_t>(s.n_kv_heads) * s.value_dim;
  const int64_t block = slot / s.block_size, offset = slot % s.block_size;
  const int64_t at = block * s.block_size * (key_row + value_row) +
                     (value ? s.block_size * key_row + offset * value_row : offset * key_row);
  if (s.packing != KvPacking::kNone) {
    const int64_t within = at - block * s.block_size * (key_row + value_row);
    return {DType::kU8,
            {1, value ? value_row : key_row},
            static_cast<std::byte*>(kv.data) + block * kv_block_bytes(s) + within};
  }
  return {s.dtype,
          {1, value ? value_row : key_row},
          static_cast<std::byte*>(kv.data) + at * static_cast<int64_t>(tensor::dtype_bytes(s.dtype))};
}

// The scale of a head's key or value. A block's scales follow its elements: those of all keys, then of all values.
inline float& kv_scale_at(const KvLayer& kv, int64_t slot, bool value, int64_t head) {
  const KvShape& s = kv.shape;
  const int64_t scales = static_cast<int64_t>(s.block_size) * s.n_kv_heads * (s.latent ? 1 : 2);
  const int64_t block_end = (slot / s.block_size + 1) * kv_block_bytes(s);
  std::byte* at = static_cast<std::byte*>(kv.data) + block_end - scales * int64_t{sizeof(float)};
  return reinterpret_cast<float*>(at)[(value ? scales / 2 : 0) + slot % s.block_size * s.n_kv_heads + head];
}
// Element c of a head.
inline float kv_load(const KvLayer& kv, int64_t slot, bool value, int64_t head, int64_t c) {
  const int64_t at = head * (value ? kv.shape.value_dim : kv.shape.key_dim) + c;
  const Tensor row = kv_row(kv, slot, value);
  if (kv.shape.packing == KvPacking::kNone) return load(row, 0, at);
  return kv_scale_at(kv, slot, value, head) * kv_codec(kv.shape.packing).decode(row.as<uint8_t>()[at]);
}

// Row i of the step's keys or values.
inline void kv_store(const KvLayer& kv, int64_t slot, bool value, const Tensor& x, int64_t i) {
  const Tensor row = kv_row(kv, slot, value);
  if (kv.shape.packing == KvPacking::kNone) {
    for (int64_t c = 0; c < x.cols(); ++c) store(row, 0, c, load(x, i, c));
    return;
  }
  const KvCodec& codec = kv_codec(kv.shape.packing);
  const int64_t dim = value ? kv.shape.value_dim : kv.shape.key_dim;
  for (int64_t head = 0; head < kv.shape.n_kv_heads; ++head) {
    float largest = 0;
    for (int64_t c = head * dim; c < (head + 1) * dim; ++c) {
      const float v = std::abs(load(x, i, c));
      if (!(v <= largest)) largest = v;  // a NaN stays
    }
    const float scale = kv_scale(largest, codec);
    kv_scale_at(kv, slot, value, head) = scale;
    for (int64_t c = head * dim; c < (head + 1) * dim; ++c) {
      row.as<uint8_t>()[c] = scale > 0 ? codec.encode(load(x, i, c) / scale) : uint8_t{0};
    }
  }
}

}  // namespace polymath::backend
