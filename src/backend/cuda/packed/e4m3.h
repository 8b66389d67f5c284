#pragma once

// Inputs rounded to E4M3, for tensor cores that multiply them with a cell's codes as these are.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// Whether a cell's codes are E4M3 numbers.
constexpr bool is_e4m3(Cell cell) { return cell == Cell::kFp8; }

// Whether a tile's step has one scale a row of the weight, `cols` inputs of which share one.
constexpr bool shares_e4m3_scales(int64_t cols) { return cols > 0 && cols % 128 == 0; }

// A rounded row has the stride of a bf16 row. It is a byte an input, then the row's scale in f32. The scale is a power
// of two, such that the largest code is above 224. So a row does not depend on other rows. E4M3's own exponents reach
// 2^15 below the largest input.
//
// Byte 4 c + j of each 16 has input 2 c + {0, 8, 1, 9}[j]. So lie a lane's four codes of a row in a cell.
struct E4m3Rows {
  Matrix x;   // cols: a multiple of 32
  Matrix to;  // as x, bf16; it may be x itself
  Groups groups;
  int64_t top_k = 1;
  bool gather = false;  // row j is that of pair groups.pairs[j]; else as many rows as there are pairs, or all of x
};
void e4m3_rows(const E4m3Rows& rows, cudaStream_t stream);

}  // namespace polymath::backend::cuda
