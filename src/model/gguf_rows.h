#pragma once

// Where the weights are in a GGUF file: one table for every architecture, since GGUF's names are uniform.

#include <vector>

#include "model/architecture.h"
#include "weights/checkpoint.h"

namespace polymath::model {

std::vector<WeightRow> gguf_rows();

// The table for a checkpoint: the architecture's own, or GGUF's.
std::vector<WeightRow> weight_rows(const Architecture& architecture, const ModelConfig& config,
                                   const weights::Checkpoint& checkpoint);

}  // namespace polymath::model
