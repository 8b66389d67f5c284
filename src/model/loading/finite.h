#pragma once

// Which weight is at fault, once a forward pass gave numbers that are not finite.

#include <string>

#include "base/status.h"
#include "model/config.h"
#include "tensor/tensor.h"
#include "weights/checkpoint.h"

namespace polymath::model {

// The first element, in loading order, that is not finite, or not once it is kept in `dtype`. Empty: there is none. The
// text is like: FILE: tensor "NAME" (layer 3): element 17 is nan. Reads every weight, so call it only after the fault.
// REQUIRES: the checkpoint was loaded with this config.
absl::StatusOr<std::string> first_non_finite(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                             tensor::DType dtype);

}  // namespace polymath::model
