#pragma once

// Where the weights are in a GGUF file: one table for every architecture, since GGUF's names are uniform.

#include <string_view>
#include <vector>

#include "model/architecture.h"

namespace polymath::model {

// `architecture`: as ModelConfig has it. It says how the rows of a head lie.
std::vector<WeightRow> gguf_rows(std::string_view architecture);

}  // namespace polymath::model
