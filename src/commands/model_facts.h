#pragma once

// What a model's config says about its size, before a weight is read.

#include <cstdint>

#include "model/config.h"

namespace polymath::commands {

struct ModelFacts {
  int64_t parameters = 0;
  int64_t active_parameters = 0;  // that one token's pass multiplies with: of the experts, the chosen ones
  int64_t kv_elements_per_token = 0;
  int moe_layers = 0;
};

ModelFacts model_facts(const model::ModelConfig& config);

}  // namespace polymath::commands
