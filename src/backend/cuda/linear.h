#pragma once

// Products with plain weights: cuBLASLt where it has an algorithm for the shape, else plain.cu.
//
// The input is taken in the weight's type: bf16 and f16 weights round it (f16 to the largest number it holds), f32
// weights take it as it is, without TF32. Sums are f32.

#include <memory>

#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"

namespace polymath::backend::cuda {

// x is [n, groups * x_group_stride] or [n, w.cols]; every group g of w gives y[:, g * y_group_stride ..].
struct Linear {
  Matrix x, y;
  WeightMatrix w;
  LinearEpilogue epilogue;
  int64_t x_group_stride = 0, y_group_stride = 0;
};

class LinearRunner {
 public:
  static absl::StatusOr<std::unique_ptr<LinearRunner>> create(Device& device);
  ~LinearRunner();

  // Memory for inputs that change their type: rows_max * cols_max floats, from the next call on.
  absl::Status reserve(int64_t rows_max, int64_t cols_max);
  void run(const Linear& linear);
  // `x` in `type`, rows of whole 16-byte words: x itself where it is so, else a copy that lasts until the next call.
  // Columns behind x's are zeros; cols are rounded up to words.
  Matrix aligned(const Matrix& x, Type type);
  // A product of few rows, by one of our own kernels. False: none is for it, nothing was done.
  bool run_few(const NarrowProduct& product);
  // 10^9 operations a second of a large product.
  double measure_gflops(Type type);

 private:
  // What an algorithm is chosen for.
  struct Problem {
    int64_t rows = 0, n = 0, cols = 0, groups = 1;  // y [n, rows] = x [n, cols] w^T
    int64_t w_stride = 0, x_stride = 0, y_stride = 0, x_group_stride = 0, y_group_stride = 0;
    int32_t type = 0, y_type = 0, x_alignment = 0, y_alignment = 0;
    int64_t has_bias = 0;
    bool operator==(const Problem&) const = default;
  };
  struct Choice {
    Problem problem;
    bool known = false, exists = false;
    cublasLtMatmulAlgo_t algorithm;
  };
  struct Descriptors;

  LinearRunner(Device& device, const CublasLt& lt, cublasLtHandle_t handle)
      : device_(device), lt_(lt), handle_(handle) {}
  const Choice& choose(const Problem& problem, const Descriptors& descriptors);
  // False: there is no algorithm for it.
  bool multiply(const Problem& problem, const void* x, const void* w, const float* bias, void* y, float alpha,
                float beta);
  void run_plain(const Linear& linear);

  Device& device_;
  const CublasLt& lt_;
  cublasLtHandle_t handle_;
  tensor::Buffer workspace_, input_;
  // One place a hash: a shape that meets another's place takes it.
  static constexpr size_t kChoices = 1024;
  std::unique_ptr<Choice[]> choices_ = std::make_unique<Choice[]>(kChoices);
};

}  // namespace polymath::backend::cuda
