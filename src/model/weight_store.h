#pragma once

// The weights of a loaded model, by slot.

#include <string>

#include "absl/container/flat_hash_map.h"
#include "backend/backend.h"
#include "model/config.h"
#include "model/load.h"
#include "model/slots.h"
#include "weights/checkpoint.h"

namespace polymath::model {

class WeightStore {
 public:
  // A slot's matrix, moved out. REQUIRES: it was loaded.
  quant::Weight take(const std::string& slot);
  bool has(const std::string& slot) const { return matrices_.contains(slot); }
  // A slot's vector in device memory, or null if the model has no such slot. Lives as long as the store.
  const float* vector(const std::string& slot) const;

  size_t bytes() const { return bytes_; }  // in memory

 private:
  friend class WeightLoader;
  absl::flat_hash_map<std::string, quant::Weight> matrices_;
  absl::flat_hash_map<std::string, tensor::Buffer> vectors_;
  size_t bytes_ = 0;
};

// Fills every slot of the config from the checkpoint. kInvalidArgument: names missing or unused, all listed.
absl::StatusOr<WeightStore> load_weights(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                         backend::Backend& backend, const LoadOptions& options);

}  // namespace polymath::model
