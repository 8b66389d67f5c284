#pragma once

// GEMMs by cuBLASLt. The algorithm of a shape is asked for once and kept in a table of fixed size.
//
// Thread safety: none.

#include <memory>

#include "backend/cuda/device.h"
#include "backend/cuda/linear/cublas_lt.h"
#include "backend/cuda/linear/linear.h"

namespace polymath::backend::cuda {

// What an algorithm is chosen for: y [n, rows] = x [n, cols] w^T, `groups` times. Hashed with its padding.
struct LtShape {
  int64_t rows = 0, n = 0, cols = 0, groups = 1;
  int64_t w_stride = 0, x_stride = 0, y_stride = 0, x_group_stride = 0, y_group_stride = 0;
  int32_t type = 0, y_type = 0, x_alignment = 0, y_alignment = 0;
  int64_t has_bias = 0;
  bool operator==(const LtShape&) const = default;
};

struct LtAlgorithm {
  LtShape shape;
  bool known = false, exists = false;
  cublasLtMatmulAlgo_t algorithm;
};

// y = alpha * (x w^T + bias) + beta * y, in the shape that the algorithm was found for.
struct LtGemm {
  const void *x = nullptr, *w = nullptr;
  const float* bias = nullptr;  // not null where the shape has one
  void* y = nullptr;
  float alpha = 1, beta = 0;
};

class LtGemms {
 public:
  static absl::StatusOr<std::unique_ptr<LtGemms>> create(Device& device);
  ~LtGemms();

  // Null: cuBLASLt has none. The pointer is valid until the next call. bias: as in LtGemm.
  const LtAlgorithm* find(const LtShape& shape, const float* bias);
  // False: cuBLASLt refuses after all; nothing was launched.
  bool run(const LtAlgorithm& algorithm, const LtGemm& gemm);

 private:
  struct Descriptors;

  LtGemms(Device& device, const CublasLt& lt, cublasLtHandle_t handle) : device_(device), lt_(lt), handle_(handle) {}
  void ask(LtAlgorithm& slot, const float* bias);

  Device& device_;
  const CublasLt& lt_;
  cublasLtHandle_t handle_;
  tensor::Buffer workspace_;
  // One slot a hash: a shape evicts another of its hash.
  static constexpr size_t kSlots = 1024;
  std::unique_ptr<LtAlgorithm[]> slots_ = std::make_unique<LtAlgorithm[]>(kSlots);
};

// The largest power of two, at most 256, that divides the address of every row. Strides are in bytes.
int32_t alignment_of(const void* p, int64_t stride, int64_t group_stride);

}  // namespace polymath::backend::cuda
