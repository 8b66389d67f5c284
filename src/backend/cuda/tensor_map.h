#pragma once

// Tensor maps for the copy engine: matrices of 2-byte numbers, 64 of them a row of a box, in the 128-byte swizzle.
// The driver's encoder is found at run time, so that nothing links with the driver.

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
