#pragma once

// Packed formats that stay packed on the device, and the kernels between a file's blocks, cells and bf16.

#include <string_view>

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// Rows of a file's blocks, in device memory, into cells of a weight.
struct Repack {
  const void* raw = nullptr;  // [rows][row_bytes]
  int64_t rows = 0, row_bytes = 0;
  int64_t row_begin = 0;  // in the group, in the weight's own order
  WeightMatrix w;         // `data`: of the group
};

struct PackedFormat {
  std::string_view name;  // of the quant::QuantFormat
  Cell cell;
  void (*repack)(const Repack& repack, cudaStream_t stream);
  // Whether a cell holds the scale of a file's block. Null: it holds any. A model whose scale does not fit is refused.
  bool (*scale_fits)(const uint8_t* block) = nullptr;
};
// Null: weights of that format are unpacked at load.
const PackedFormat* find_packed_format(std::string_view name);

// Rows [row_begin, row_begin + rows) of each group, in the weight's own order, as bf16.
struct Unpack {
  WeightMatrix w;
  int64_t row_begin = 0, rows = 0;
  void* to = nullptr;  // [w.groups][rows][w.stride] bf16
};
void unpack_cells(const Unpack& unpack, cudaStream_t stream);

// Dummy weights: random codes, constant scales. Values have some standard deviation of `deviation`.
// `rows` of a group from row_begin on; rows that share a slab with them are generated too.
struct GenerateCells {
  WeightMatrix w;  // `data`: of the group
  int64_t row_begin = 0, rows = 0;
  uint64_t key = 0;
  float deviation = 0;
};
void generate_cells(const GenerateCells& generate, cudaStream_t stream);

}  // namespace polymath::backend::cuda
