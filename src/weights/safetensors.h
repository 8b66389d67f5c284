#pragma once

// Safetensors files as one Checkpoint.

#include <memory>
#include <string>
#include <vector>

#include "weights/checkpoint.h"

namespace polymath::weights {

// All tensors of `paths`. kInvalidArgument: a name is in two files. Other errors: read_safetensors_header()'s.
absl::StatusOr<std::unique_ptr<Checkpoint>> open_safetensors(const std::vector<std::string>& paths,
                                                             const CheckpointLimits& limits);

}  // namespace polymath::weights
