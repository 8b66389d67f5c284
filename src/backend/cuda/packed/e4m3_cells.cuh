#pragma once

// Cells as wgmma's E4M3 operand in registers, in the order of inputs of e4m3.h:
//
//   codes(cells, h, a)    a lane's codes of the h-th 32 inputs, where cells lie one after the other in shared memory
//   scales(cells, h)      what the codes of rows l / 4 and + 8 are to be multiplied with
//   kWideScales           128 inputs may share a scale

#include "backend/cuda/packed/cell_codes.cuh"

namespace polymath::backend::cuda {

struct E4m3OfFp8 {
  static constexpr int kBytes = Fp8Cell::kBytes;
  static constexpr bool kWideScales = true;

  __device__ __forceinline__ static void codes(const uint8_t* cells, int h, uint32_t (&a)[4]) {
    const auto* const of_cell = reinterpret_cast<const uint4*>(cells + h / 2 * kBytes);
    const uint4 codes = of_cell[h % 2 * kWarp + static_cast<int>(threadIdx.x) % kWarp];
    a[0] = codes.x, a[1] = codes.y, a[2] = codes.z, a[3] = codes.w;
  }
  __device__ __forceinline__ static float2 scales(const uint8_t* cells, int h) {
    const auto* const of_cell = reinterpret_cast<const uint32_t*>(cells + h / 2 * kBytes + Fp8Cell::kScales);
    const uint32_t both = of_cell[static_cast<int>(threadIdx.x) % kWarp / 4 * 2 + h % 2];
    constexpr float kLowered = 1 / Fp8Cell::kRaised;
    return make_float2(__uint_as_float(both << 16) * kLowered, __uint_as_float(both & 0xffff0000u) * kLowered);
  }
};

}  // namespace polymath::backend::cuda
