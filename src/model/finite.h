#pragma once

// Which weight is at fault, once a forward pass gave numbers that are not finite.

#include <string>

#include "base/status.h"
#include "model/config.h"
#include "tensor/tensor.h"
#include "weights/checkpoint.h"

namespace polymath::model {

// FILE: tensor "NAME" (layer 3): element 17 is nan. The first in loading order that is not finite, or would not be in
// `dtype`, where it is kept in that; empty: none. Reads every weight, so it is for after the fact.
// REQUIRES: the checkpoint was loaded with this config.
absl::StatusOr<std::string> first_non_finite(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                             tensor::DType dtype);

}  // namespace polymath::model
