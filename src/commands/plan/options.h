#pragma once

// What `plan` reads beside the model and the runtime.

#include <string>
#include <vector>

namespace polymath::commands {

struct PlanOptions {
  std::vector<std::string> gpus, instances;  // empty: every known GPU that holds the model
  std::vector<std::string> compare;          // more models
  // One each, and RuntimeOptions::tensor_parallel too: the fewest GPUs that hold the model.
  int stages = 1, data_groups = 1;
  std::string weights;  // a name of plan::stored_as(); empty: as the model is stored
  int sequences = 1;    // that must fit at once
  bool json = false;
  bool price = false;
  std::string prices;            // a file; empty: built in
  double tokens_per_second = 0;  // of the planned group, measured; 0: limit_share of the decode limit
  double limit_share = 0.5;
};

}  // namespace polymath::commands
