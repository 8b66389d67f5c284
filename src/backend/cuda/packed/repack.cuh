#pragma once

// A file's blocks into cells. One thread has one row's part of a cell. A kind of block is a struct:
//
//   kCell, kInputs, kBytes         the kind of cell; values and bytes of a block
//   put(cell, row, blocks, at, n)  n inputs of a cell's row; the first is input `at` of the first block

#include "backend/cuda/launch.cuh"
#include "backend/cuda/packed/cell_codes.cuh"
#include "backend/cuda/packed/packed.h"

namespace polymath::backend::cuda {

constexpr int kRepackThreads = 128;

// Files align nothing.
__device__ __forceinline__ uint16_t u16_at(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
__device__ __forceinline__ float half_at(const uint8_t* p) { return __half2float(__ushort_as_half(u16_at(p))); }
__device__ __forceinline__ void put_u16(uint8_t* p, uint16_t v) { *reinterpret_cast<uint16_t*>(p) = v; }
__device__ __forceinline__ uint16_t bf16_bits(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }

// As U4Cell has them. REQUIRES: the scale is no larger than U4Cell::kScaleMax.
__device__ __forceinline__ void put_u4_scale(uint8_t* cell, int row, int block, float scale, float minimum) {
  uint8_t* const to = cell + U4Cell::place_of_scale(row, block);
  put_u16(to, bf16_bits(scale * U4Cell::kRaised));
  put_u16(to + 2, bf16_bits(minimum / U4Cell::kFactor));
}

// Codes of inputs k and k + 8 of a row share a byte.
template <typename Code>
__device__ __forceinline__ void put_nibbles(uint8_t* cell, int row, int n, Code code) {
  for (int k = 0; k < n; ++k) {
    if (k % 16 < 8) cell[NibblePlace(row, k).byte] = static_cast<uint8_t>(code(k) | code(k + 8) << 4);
  }
}

template <class Block>
__global__ void __launch_bounds__(kRepackThreads) repack_kernel(Repack p) {
  const CellGrid grid(p.w.rows, p.w.cols, p.w.glu);
  const int64_t cell_index = static_cast<int64_t>(blockIdx.x) * kRepackThreads + threadIdx.x;
  if (cell_index >= grid.cells) return;
  const int64_t input = cell_index * kCellCols;
  const int n = static_cast<int>(min(static_cast<int64_t>(kCellCols), p.w.cols - input));
  for (int64_t r = blockIdx.y; r < p.rows; r += gridDim.y) {
    const CellRow at = cell_row_of(p.w.rows, p.w.glu, p.row_begin + r);
    auto* const cell = static_cast<uint8_t*>(const_cast<void*>(p.w.data)) +
                       (at.slab * grid.cells + cell_index) * cell_bytes(Block::kCell);
    const uint8_t* const blocks =
        static_cast<const uint8_t*>(p.raw) + r * p.row_bytes + input / Block::kInputs * Block::kBytes;
    Block::put(cell, at.row, blocks, static_cast<int>(input % Block::kInputs), n);
  }
}

template <class Block>
void repack(const Repack& p, cudaStream_t stream) {
  if (p.rows == 0) return;
  const CellGrid grid = p.w.grid();
  const dim3 blocks(static_cast<unsigned>(ceil_div(grid.cells, kRepackThreads)),
                    static_cast<unsigned>(min(p.rows, static_cast<int64_t>(32768))));
  repack_kernel<Block><<<blocks, kRepackThreads, 0, stream>>>(p);
}

}  // namespace polymath::backend::cuda
