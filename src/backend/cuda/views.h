#pragma once

// The backend's tensors in the kernels' types.

#include "backend/backend.h"
#include "backend/cuda/matrix.h"
#include "backend/cuda/packed/packed.h"

namespace polymath::backend::cuda {

inline Type type_of(DType dtype) {
  CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16);
  return dtype == DType::kF32 ? Type::kF32 : dtype == DType::kBf16 ? Type::kBf16 : Type::kF16;
}

inline Matrix matrix_of(const Tensor& t) { return {t.data, t.rows(), t.cols(), t.stride(), type_of(t.dtype)}; }

// The type that a weight's values have in a kernel's arithmetic.
inline Type weight_type(const Weight& w) { return w.format->plain() ? type_of(w.format->dtype) : Type::kBf16; }
inline Cell cell_of(const quant::QuantFormat& format) {
  if (format.plain()) return Cell::kNone;
  const PackedFormat* packed = find_packed_format(format.name);
  CHECK(packed != nullptr);
  return packed->cell;
}

// The format that such a weight stays packed in: its own or the wider one; null: neither has cells.
inline const quant::QuantFormat* packed_format_of(const quant::QuantFormat& stored, quant::WeightUse use) {
  if (use != quant::WeightUse::kLinear && use != quant::WeightUse::kExperts) return nullptr;
  for (const quant::QuantFormat* format : {&stored, stored.wider}) {
    if (format != nullptr && find_packed_format(format->name) != nullptr) return format;
  }
  return nullptr;
}
// Bytes of a weight on the device.
inline size_t kept_bytes(const WeightShape& shape, const quant::QuantFormat& format) {
  if (const Cell cell = cell_of(format); cell != Cell::kNone) {
    const CellGrid grid(shape.rows, shape.cols, shape.glu);
    return static_cast<size_t>(shape.groups * grid.slabs * grid.cells * cell_bytes(cell));
  }
  return static_cast<size_t>(
      format.bytes_of(shape.groups * shape.rows * weight_stride(shape.cols, type_of(format.dtype))));
}

inline WeightMatrix weight_matrix(const Weight& w) {
  const auto& [groups, rows, cols, glu] = w.shape;
  const Type type = weight_type(w);
  return {w.data.data(), groups, rows, cols, weight_stride(cols, type), type, cell_of(*w.format), glu};
}
inline bool is_packed(const WeightMatrix& w) { return w.cell != Cell::kNone; }

inline Groups groups_of(const ExpertGroups& groups, int64_t n_pairs) {
  const auto n_experts = static_cast<int>(groups.offsets.shape[0] - 1);
  return {groups.offsets.i32(), groups.pairs.i32(), n_experts, n_pairs};
}

}  // namespace polymath::backend::cuda
