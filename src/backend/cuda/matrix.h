#pragma once

// What every kernel's entry takes: matrices in device memory, as plain pointers and sizes.
//
// Headers that a .cu file includes stay free of absl, which costs nvcc four seconds a file. An entry launches on the
// stream it is given and never waits for the device; Device::launched() reports a failed launch. Grids are sized for
// the worst case: blocks that find no work on the device exit at once.

#include <cuda_runtime_api.h>

#include <cstdint>

#include "backend/cuda/packed/cells.h"
#include "backend/params.h"

namespace polymath::backend::cuda {

enum class Type : int { kF32, kF16, kBf16 };
constexpr int64_t type_bytes(Type type) { return type == Type::kF32 ? 4 : 2; }

// [rows, cols]; `stride` elements from one row to the next.
struct Matrix {
  void* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;
  Type type = Type::kF32;
};

// Every row begins at a multiple of `bytes`.
inline bool rows_aligned(const Matrix& m, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(m.data) % static_cast<uintptr_t>(bytes) == 0 &&
         m.stride * type_bytes(m.type) % bytes == 0;
}

// [groups][rows][stride]: rows padded with zeros to whole 16-byte words. Packed: cells as packed/cells.h has them; then
// type and stride are those of the unpacked weight.
struct WeightMatrix {
  const void* data = nullptr;
  int64_t groups = 1, rows = 0, cols = 0, stride = 0;
  Type type = Type::kF32;
  Cell cell = Cell::kNone;
  bool glu = false;  // packed: the gate's rows and up's are interleaved

  CellGrid grid() const { return {rows, cols, glu}; }
};
constexpr int64_t weight_stride(int64_t cols, Type type) {
  const int64_t word = 16 / type_bytes(type);
  return (cols + word - 1) / word * word;
}

// (token, choice) pairs sorted by expert, as backend::ExpertGroups.
struct Groups {
  const int32_t* offsets = nullptr;  // [n_experts + 1]
  const int32_t* pairs = nullptr;
  int n_experts = 0;
  int64_t n_pairs = 0;  // upper bound; offsets[n_experts] is the count
};

}  // namespace polymath::backend::cuda
