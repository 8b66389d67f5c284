#pragma once

// Where the weights are in a GGUF file: one table for every architecture, since GGUF's names are uniform.

#include <vector>

#include "model/architecture.h"

namespace polymath::model {

std::vector<WeightRow> gguf_rows();

}  // namespace polymath::model
