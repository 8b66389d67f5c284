#pragma once

// How a packed weight lies in device memory: in cells of 16 rows by 64 inputs.
//
// A cell is what one warp multiplies at once. Its codes lie lane by lane in 16-byte words, in the order of mma.sync's
// and wgmma's operand in registers (cell_codes.cuh). Its scales follow. A weight is
//
//   [groups][slabs of 16 rows][cells of a row][cell_bytes]
//
// so that a slab's cells are one run of memory. A gated weight's slab has eight rows of the gate, then the same of up.
// A thread so holds a gate and its up. Rows and inputs are padded with zeros to whole cells.

#include <cstdint>

namespace polymath::backend::cuda {

enum class Cell : int8_t {
  kNone,  // a plain weight
  kI8,    // 8-bit integers, an f16 scale of 32
  kU4,    // 4-bit unsigned integers, a bf16 scale and a bf16 minimum of 32
  kU6,    // 6-bit unsigned integers less 32, a bf16 scale of 16
  kFp4,   // E2M1 floats, an E8M0 scale of 32
  kFp8,   // E4M3 floats, a bf16 scale of 32
  kCount,
};

constexpr int kCellRows = 16, kCellCols = 64;

constexpr int64_t cell_bytes(Cell cell) {
  constexpr int64_t kBytes[] = {0, 1024 + 64, 512 + 128, 512 + 256 + 128, 512 + 32, 1024 + 64};
  return kBytes[static_cast<int>(cell)];
}

// Slabs and cells of one group of a weight.
struct CellGrid {
  int64_t slabs = 0, cells = 0;  // cells: of a slab
  constexpr CellGrid(int64_t rows, int64_t cols, bool glu)
      : slabs(glu ? (rows / 2 + kCellRows / 2 - 1) / (kCellRows / 2) : (rows + kCellRows - 1) / kCellRows),
        cells((cols + kCellCols - 1) / kCellCols) {}
};

// Row `i` of slab `slab` in the weight's own order; it may be past the last one.
constexpr int64_t row_of_slab(int64_t rows, bool glu, int64_t slab, int i) {
  if (!glu) return slab * kCellRows + i;
  const int64_t index = slab * (kCellRows / 2) + i % (kCellRows / 2);
  if (index >= rows / 2) return rows;
  return index + (i >= kCellRows / 2 ? rows / 2 : 0);
}
// The reverse.
struct CellRow {
  int64_t slab = 0;
  int row = 0;
};
constexpr CellRow cell_row_of(int64_t rows, bool glu, int64_t row) {
  if (!glu) return {row / kCellRows, static_cast<int>(row % kCellRows)};
  const int64_t half = rows / 2, index = row < half ? row : row - half;
  return {index / (kCellRows / 2), static_cast<int>(index % (kCellRows / 2)) + (row < half ? 0 : kCellRows / 2)};
}

}  // namespace polymath::backend::cuda
