#pragma once

// FP8 weights with their scales, however they are divided.

#include <string>
#include <vector>

#include "weights/schemes/stored_parts.h"

namespace polymath::weights {

struct Fp8Blocks {
  int64_t rows = 0, cols = 0;  // 0: no blocks
};

// Every E4M3 tensor that has scales.
absl::Status find_fp8(const FileCheckpoint& files, const std::string& method, const Fp8Blocks& config,
                      std::vector<PackedWeight>& out);

}  // namespace polymath::weights
