#pragma once

// Safetensors files as one Checkpoint.

#include <memory>

#include "weights/directory.h"

namespace polymath::weights {

// All tensors of the files. Of a tensor in several files, the index says which one counts.
// kInvalidArgument: it does not. Other errors: read_safetensors_header()'s.
absl::StatusOr<std::unique_ptr<Checkpoint>> open_safetensors(const WeightFiles& files, const CheckpointLimits& limits);

}  // namespace polymath::weights
