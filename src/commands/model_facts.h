#pragma once

// A model's size, from its config alone.

#include <cstdint>

#include "model/config.h"

namespace polymath::commands {

struct ModelFacts {
  int64_t parameters = 0;
  int64_t active_parameters = 0;  // that one token is multiplied with; of the experts only the top k
  int64_t kv_elements_per_token = 0;
  int moe_layers = 0;
};

ModelFacts model_facts(const model::ModelConfig& config);

}  // namespace polymath::commands
