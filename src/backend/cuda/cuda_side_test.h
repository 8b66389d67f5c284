#pragma once

// A test's inputs on one backend. The same seeds give the same values on each, so results on CUDA can be compared with
// the reference's.

#include <functional>
#include <vector>

#include "backend/test_values.h"

namespace polymath::backend {

// How a test's matrix is filled.
struct Fill {
  float scale = 1;    // the largest value
  int64_t gap = 0;    // elements between the rows
  bool e4m3 = false;  // bf16 with E4M3's three bits of mantissa, so that rounding to it changes nothing
};

class Side {
 public:
  explicit Side(Backend& backend) : b(backend) {}

  // Random values.
  Tensor matrix(DType dtype, int64_t rows, int64_t cols, uint32_t seed, Fill fill = {}) {
    TestMatrix m(dtype, rows, cols, fill.gap);
    m.randomize(seed, fill.scale);
    if (fill.e4m3) {
      for (int64_t i = 0; i < rows * (cols + fill.gap); ++i) m.tensor().u16()[i] &= 0xfff0;
    }
    return keep({dtype, {rows, cols + fill.gap}, nullptr}, m.bytes.data()).slice_cols(0, cols);
  }
  Tensor zeros(DType dtype, int64_t rows, int64_t cols) {
    const std::vector<std::byte> none(static_cast<size_t>(rows * cols) * 8);
    return keep({dtype, {rows, cols}, nullptr}, none.data());
  }
  Tensor ints(const std::vector<int32_t>& v) {
    return keep({DType::kI32, {static_cast<int64_t>(v.size())}, nullptr}, v.data());
  }
  Tensor floats(const std::vector<float>& v) {
    return keep({DType::kF32, {static_cast<int64_t>(v.size())}, nullptr}, v.data());
  }
  const Weight& weight(const WeightShape& shape, DType dtype, uint32_t seed, float scale = 1) {
    weights_.push_back(std::make_unique<TestWeight>(b, shape, dtype, seed, scale));
    return weights_.back()->weight;
  }

  // A tensor's elements, row after row.
  std::vector<double> get(const Tensor& t) {
    const int64_t rows = t.shape.rank() == 1 ? 1 : t.rows(), cols = t.shape.elements() / std::max<int64_t>(1, rows);
    std::vector<double> out;
    for (int64_t r = 0; r < rows; ++r) {
      Tensor row{t.dtype, {cols}, nullptr};
      row.data = t.as<std::byte>() + r * (cols + t.row_gap) * static_cast<int64_t>(tensor::dtype_bytes(t.dtype));
      std::vector<std::byte> raw(row.bytes());
      b.copy_out(raw.data(), row);
      for (int64_t c = 0; c < cols; ++c) out.push_back(number(raw.data(), t.dtype, c));
    }
    return out;
  }

  Backend& b;

 private:
  Tensor keep(Tensor t, const void* host) {
    buffers_.push_back(b.allocate(t.bytes()).value());
    t.data = buffers_.back().data();
    if (t.bytes() > 0) b.copy_in(t, host);
    return t;
  }
  static double number(const std::byte* raw, DType dtype, int64_t i) {
    if (dtype == DType::kI32) return reinterpret_cast<const int32_t*>(raw)[i];
    if (dtype == DType::kI64) return static_cast<double>(reinterpret_cast<const int64_t*>(raw)[i]);
    float v = 0;
    quant::plain_format(dtype).dequantize({raw}, i, &v, 1);
    return v;
  }

  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<TestWeight>> weights_;
};

// Expert (t * t + choice) % n of each token, some dropped.
struct Choices {
  Choices(Side& s, int64_t n, int64_t top_k, int n_experts, bool drop) {
    std::vector<int32_t> ids;
    std::vector<float> weights;
    for (int64_t i = 0; i < n * top_k; ++i) {
      const int64_t token = i / top_k, choice = i % top_k;
      ids.push_back(drop && i % 11 == 5 ? -1 : static_cast<int32_t>((token * token + choice) % n_experts));
      weights.push_back(0.1f + 0.05f * static_cast<float>(i % 9));
    }
    routing = {s.ints(ids).reshape({n, top_k}), s.floats(weights).reshape({n, top_k})};
    groups = {s.ints(std::vector<int32_t>(n_experts + 1)), s.ints(std::vector<int32_t>(n * top_k)),
              s.zeros(DType::kI64, 2, n_experts)};
    s.b.group_by_expert(routing, n_experts, groups);
  }
  Routing routing;
  ExpertGroups groups;
};

using Results = std::vector<std::vector<double>>;
using TestRun = std::function<Results(Side&)>;

}  // namespace polymath::backend
