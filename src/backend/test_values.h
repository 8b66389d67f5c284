#pragma once

// Random tensors and cases of attention for the backends' tests.

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "backend/backend.h"

namespace polymath::backend {

inline float rounded(float v, DType dtype) {
  if (dtype == DType::kBf16) return tensor::bf16_to_f32(tensor::f32_to_bf16(v));
  if (dtype == DType::kF16) return tensor::f16_to_f32(tensor::f32_to_f16(v));
  return v;
}

// A matrix with memory for the ops, and the same values as floats.
struct TestMatrix {
  TestMatrix(DType type, int64_t rows, int64_t columns, int64_t gap = 0)
      : dtype(type),
        n_rows(rows),
        n_cols(columns),
        stride(columns + gap),
        values(rows * stride),
        bytes(rows * stride * 4) {}

  TestMatrix& randomize(uint32_t seed, float scale = 1) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> distribution(-scale, scale);
    for (float& v : values) v = rounded(distribution(engine), dtype);
    dtype == DType::kF32
        ? quant::kF32.quantize(values.data(), bytes.data(), static_cast<int64_t>(values.size()))
        : quant::plain_format(dtype).quantize(values.data(), bytes.data(), static_cast<int64_t>(values.size()));
    return *this;
  }
  // Reads what an op wrote into `values`.
  void pull() {
    quant::plain_format(dtype).dequantize({bytes.data()}, 0, values.data(), static_cast<int64_t>(values.size()));
  }

  float at(int64_t r, int64_t c) const { return values[r * stride + c]; }
  Tensor tensor() { return {dtype, {n_rows, n_cols}, bytes.data(), stride - n_cols}; }
  quant::MatrixView view(int64_t row, int64_t n) const {
    return {&quant::plain_format(dtype),
            bytes.data() + row * stride * static_cast<int64_t>(tensor::dtype_bytes(dtype)),
            n,
            n_cols,
            stride,
            1};
  }

  DType dtype;
  int64_t n_rows, n_cols, stride;
  std::vector<float> values;
  std::vector<std::byte> bytes;
};

inline Tensor ints(std::vector<int32_t>& v) { return {DType::kI32, {static_cast<int64_t>(v.size())}, v.data()}; }
inline Tensor floats_of(std::vector<float>& v) { return {DType::kF32, {static_cast<int64_t>(v.size())}, v.data()}; }

// A weight of the backend and its values, [groups * rows][cols].
struct TestWeight {
  TestWeight(Backend& backend, const WeightShape& shape, DType dtype, uint32_t seed, float scale = 1)
      : matrix(dtype, shape.groups * shape.rows, shape.cols) {
    matrix.randomize(seed, scale);
    weight = backend.make_weight(shape, quant::plain_format(dtype)).value();
    for (int64_t g = 0; g < shape.groups; ++g) {
      const int64_t cut = shape.rows / 3;  // in two pieces, as stacked projections come
      backend.fill_weight(weight, g, 0, matrix.view(g * shape.rows, cut));
      backend.fill_weight(weight, g, cut, matrix.view(g * shape.rows + cut, shape.rows - cut));
    }
  }
  double at(int64_t group, int64_t row, int64_t col) const { return matrix.at(group * weight.shape.rows + row, col); }

  TestMatrix matrix;
  Weight weight;
};

// A row of a matrix, from a column on.
struct TestRow {
  const TestMatrix& matrix;
  int64_t row = 0;
  int64_t begin = 0;
};

// An input times a weight row, in double. The input is rounded as the backend must round it.
inline double exact_dot(const TestRow& x, const TestWeight& w, int64_t group, int64_t row) {
  const DType to = w.matrix.dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  double sum = 0;
  for (int64_t c = 0; c < w.weight.shape.cols; ++c) {
    sum += rounded(x.matrix.at(x.row, x.begin + c), to) * w.at(group, row, c);
  }
  return sum;
}

struct AttentionCase {
  const char* what;
  int n_heads, n_kv_heads, key_dim, value_dim, block_size;
  bool latent;
  int window, chunk;
  bool sinks;
};
inline constexpr AttentionCase kAttentionCases[] = {
    {"plain", 2, 2, 16, 16, 16, false, 0, 0, false},
    {"odd dims", 2, 1, 23, 17, 16, false, 0, 0, false},
    {"grouped", 8, 2, 24, 24, 32, false, 0, 0, false},
    {"many heads", 26, 1, 32, 40, 48, false, 0, 0, false},
    {"wide", 4, 4, 128, 128, 16, false, 0, 0, false},
    {"window", 4, 2, 32, 32, 16, false, 21, 0, false},
    {"window, large blocks", 4, 2, 32, 32, 128, false, 150, 0, false},
    {"chunk", 4, 2, 32, 32, 16, false, 0, 40, false},
    {"sinks", 4, 2, 32, 32, 16, false, 17, 0, true},
    {"latent", 4, 1, 40, 32, 16, true, 0, 0, false},
    {"latent, odd", 3, 1, 41, 19, 48, true, 0, 0, false},
};

}  // namespace polymath::backend
