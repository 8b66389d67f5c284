#pragma once

// Tensors that a checkpoint has and serving does not read.

#include <string>
#include <vector>

#include "model/config.h"
#include "weights/checkpoint.h"

namespace polymath::model {

// What a checkpoint has besides the weights that are read.
struct Surplus {
  std::vector<std::string> known;    // "46 tensors of vision": kinds that serving text does not need
  std::vector<std::string> unknown;  // names
  std::vector<std::string> harmful;  // names: without them, weights that are read would mean something else
};

// `names`: the tensors that no slot reads. `prefix`: of the decoder's names, as WeightTable::prefix().
Surplus sort_surplus(const std::vector<std::string>& names, std::string_view prefix, const ModelConfig& config);

}  // namespace polymath::model
