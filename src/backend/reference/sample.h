#pragma once

// Samples from a row of logits by sorting it. This is the plainest form of engine/sampling and the devices' kernels.

#include <cstdint>
#include <span>

#include "backend/params.h"

namespace polymath::backend {

// -1: the row has a NaN or +infinity, or nothing finite.
int32_t sample_by_sorting(std::span<const float> logits, const SampleParams& params);

}  // namespace polymath::backend
