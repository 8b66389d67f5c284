#pragma once

// E2M1 weights, two a byte, as compressed-tensors and ModelOpt store them.

#include <string>

#include "weights/schemes/stored_parts.h"

namespace polymath::weights {

struct Fp4Parts {
  const Stored* codes = nullptr;   // U8 [rows, cols / 2], the first value of a byte low
  const Stored* scales = nullptr;  // F8_E4M3 [rows, cols / 16], or U8 [rows, cols / 32] of MXFP4
  const Stored* global = nullptr;  // F32, one value: of the whole tensor; null: MXFP4
  bool divides = false;            // scales are divided by `global`, else multiplied
};

// `packed` has its name, what and beside already.
absl::StatusOr<PackedWeight> fp4_weight(PackedWeight packed, const Fp4Parts& parts);

}  // namespace polymath::weights
