#pragma once

// Dummy weights, computed on the device element by element as quant/generated.h defines them.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// Rows [0, rows) of a weight from `to` on. quantiles: [4096] scaled and rounded, device memory.
struct Generate {
  uint64_t key = 0;
  const float* quantiles = nullptr;
  int64_t offset = 0, rows = 0, cols = 0, row_stride = 0, col_stride = 1;
  void* to = nullptr;
  int64_t stride = 0;
  Type type = Type::kF32;
};
void generate(const Generate& generate, cudaStream_t stream);

}  // namespace polymath::backend::cuda
