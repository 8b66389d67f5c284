#pragma once

// A token chosen from a row of logits by sorting it: the plainest form of what engine/sampling and the devices do.

#include <cstdint>
#include <span>

#include "backend/params.h"

namespace polymath::backend {

// -1: the row has a NaN or +infinity, or nothing finite.
int32_t sample_by_sorting(std::span<const float> logits, const SampleParams& params);

}  // namespace polymath::backend
