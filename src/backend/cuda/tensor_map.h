#pragma once

// TMA tensor maps of 2-byte elements: boxes of 64 elements a row, 128-byte swizzle. The driver's encoder is looked up
// at run time, so that the binary does not link with the driver.

#include <cuda.h>

#include <cstdint>

namespace polymath::backend::cuda {

struct MapAxis {
  uint64_t size = 1;
  uint64_t stride_bytes = 0;  // not of the first axis; a multiple of 16
  uint32_t box = 1;
};

// Axes from the innermost on. False: the driver has no encoder, or refuses.
bool encode_tensor_map(const void* data, const MapAxis* axes, int n_axes, bool bf16, CUtensorMap* map);

}  // namespace polymath::backend::cuda
