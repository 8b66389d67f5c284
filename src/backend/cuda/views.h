#pragma once

// The backend's tensors in the kernels' types.

#include "backend/backend.h"
#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

inline Type type_of(DType dtype) {
  CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16);
  return dtype == DType::kF32 ? Type::kF32 : dtype == DType::kBf16 ? Type::kBf16 : Type::kF16;
}

inline Matrix matrix_of(const Tensor& t) { return {t.data, t.rows(), t.cols(), t.stride(), type_of(t.dtype)}; }

inline WeightMatrix weight_matrix(const Weight& w) {
  const Type type = type_of(w.format->dtype);
  return {w.data.data(), w.shape.groups, w.shape.rows, w.shape.cols, weight_stride(w.shape.cols, type), type};
}

inline Groups groups_of(const ExpertGroups& groups, int64_t n_pairs) {
  const auto n_experts = static_cast<int>(groups.offsets.shape[0] - 1);
  return {groups.offsets.i32(), groups.pairs.i32(), n_experts, n_pairs};
}

}  // namespace polymath::backend::cuda
