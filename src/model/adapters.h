#pragma once

// LoRA adapters in PEFT's format: DIRECTORY/adapter_config.json and adapter_model.safetensors.
//
// Applied to the linears of attention. Tensors of other modules are named in AdapterSet::unused.
// Sources: LoRA arXiv:2106.09685; rsLoRA arXiv:2312.03732; PEFT's LoraConfig.

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "backend/backend.h"
#include "layers/adapters.h"
#include "model/config.h"

namespace polymath::model {

struct AdapterLimits {
  int adapters_max = 64;  // more: kInvalidArgument
  int rank_max = 512;     // a larger r: kInvalidArgument
};

// What AdapterSet::load() allocates, and what a step's scratch is sized by.
struct AdapterMemory {
  size_t bytes = 0;
  layers::AdapterLimits limits;
};

class AdapterSet {
 public:
  // Reads the headers of the files alone. Errors as load().
  static absl::StatusOr<AdapterMemory> measure(const std::vector<std::string>& directories, const ModelConfig& config,
                                               const backend::Backend& backend, parallel::Rank rank);
  // Reads every directory's adapter; the index in `directories` is the adapter's id. `rank`: whose part is loaded.
  // kInvalidArgument: no LoRA, a rank out of bounds, or a tensor of a wrong shape (named). kUnimplemented: a kind of
  // LoRA that is not built: DoRA, biases, ranks by module.
  static absl::StatusOr<AdapterSet> load(const std::vector<std::string>& directories, const ModelConfig& config,
                                         backend::Backend& backend, parallel::Rank rank);

  int size() const { return n_; }
  // Of one slot, moved out; empty: no adapter changes it.
  layers::AdapterWeights take(const std::string& slot);
  const layers::AdapterLimits& limits() const { return limits_; }
  // Tensors that no linear of the model takes, by adapter.
  const std::vector<std::vector<std::string>>& unused() const { return unused_; }

 private:
  friend class AdapterLoader;
  int n_ = 0;
  absl::flat_hash_map<std::string, layers::AdapterWeights> weights_;
  layers::AdapterLimits limits_;
  std::vector<std::vector<std::string>> unused_;
};

}  // namespace polymath::model
