#pragma once

// Packing with errors that count by how large the inputs of a matrix are.

#include <cstddef>
#include <cstdint>

#include "quant/format.h"

namespace polymath::quant {

// As QuantFormat::quantize. The error of value i counts importance[i] times, 0 or more; large values count more still.
using WeightedPacker = void (*)(const float* src, const float* importance, std::byte* dst, int64_t n);

// Null: the format does not profit, so it has none.
WeightedPacker find_weighted_packer(const QuantFormat& format);

}  // namespace polymath::quant
