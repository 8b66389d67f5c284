#pragma once

// A model's size, from its config alone.

#include <cstdint>

#include "model/config.h"

namespace polymath::plan {

struct ModelFacts {
  int64_t parameters = 0;
  int64_t active_parameters = 0;  // that one token is multiplied with; of the experts only the top k
  int64_t embedding = 0;          // of the input embedding
  int64_t active_with_embedding = 0;
  int64_t routed = 0;             // of all routed experts, biases included
  int64_t expert_parameters = 0;  // of one routed expert's matrices, the largest; 0: the model is dense
  int64_t kv_elements_per_token = 0;
  int64_t mha_elements_per_token = 0;  // if each query head had a key and a value of its own
  int64_t kv_elements_windowed = 0;    // of layers that see a window or chunk alone, a part of kv_elements_per_token
  int moe_layers = 0;
};

ModelFacts model_facts(const model::ModelConfig& config);

}  // namespace polymath::plan
