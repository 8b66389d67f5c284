#pragma once

// The weight operand of gemm_small_m.cuh: 64 rows by 64 inputs a stage. Plain: in shared memory, as TMA's swizzle has
// it. Packed: cells, which each warp turns into the operand in registers.

#include "backend/cuda/packed/cell_codes.cuh"
#include "backend/cuda/packed/wgmma_cells.cuh"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {

constexpr int kTileRows = 64, kTileInputs = 64;

// Where a packed weight lies; of plain ones the tensor map says it.
struct CellsAt {
  const uint8_t* data = nullptr;
  int slabs = 0, cells = 0;  // cells: of a slab
  bool glu = false;
};

struct PlainOperand {
  static constexpr int kStageBytes = kTileRows * kTileInputs * 2;
  static constexpr bool kPacked = false;
};

template <class C>
struct PackedOperand {
  using Codes = C;
  static constexpr int kSlabs = kTileRows / kCellRows;
  static constexpr int kStageBytes = (kSlabs * C::kBytes + 1023) / 1024 * 1024;
  static constexpr bool kPacked = true;
};

}  // namespace polymath::backend::cuda
