#pragma once

// Safetensors files as one Checkpoint.

#include <memory>
#include <string>
#include <vector>

#include "weights/checkpoint.h"

namespace polymath::weights {

// All tensors of `paths`. kInvalidArgument: a name stands in two files; and what read_safetensors_header() says.
absl::StatusOr<std::unique_ptr<Checkpoint>> open_safetensors(const std::vector<std::string>& paths,
                                                             const CheckpointLimits& limits);

}  // namespace polymath::weights
