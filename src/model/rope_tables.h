#pragma once

// Rotary tables in device memory, one for each different config.

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "layers/rope.h"
#include "model/config.h"

namespace polymath::model {

class RopeTables {
 public:
  RopeTables(int model_len, int positions_max) : model_len_(model_len), positions_max_(positions_max) {}
  // Bytes of all tables that the layers ask for. model_len 0: the model's positions_max.
  static size_t bytes(const ModelConfig& config, int model_len) {
    const int positions = model_len > 0 ? model_len : config.positions_max;
    std::vector<const layers::RopeConfig*> known;
    size_t elements = 0;
    for (const LayerConfig& layer : config.layers) {
      const layers::RopeConfig* rope = layers::rope(layer.attention);
      const auto same = [&](const layers::RopeConfig* other) { return *other == *rope; };
      if (rope == nullptr || rope->dims == 0 || std::any_of(known.begin(), known.end(), same)) continue;
      known.push_back(rope);
      elements += layers::rope_table_elements(*rope, positions);
    }
    return elements * sizeof(float);
  }

  // [model_len, dims / 2, 2]; null: no rotation. kResourceExhausted: no memory.
  absl::StatusOr<const float*> table(backend::Backend& backend, const layers::RopeConfig& rope) {
    if (rope.dims == 0) return nullptr;
    for (const auto& [known, buffer] : tables_) {
      if (known == rope) return static_cast<const float*>(buffer.data());
    }
    const auto values = layers::rope_table(rope, model_len_, positions_max_);
    ASSIGN_OR_RETURN(auto buffer, backend.allocate(values.size() * sizeof(float)));
    backend.copy_in({tensor::DType::kF32, {static_cast<int64_t>(values.size())}, buffer.data()}, values.data());
    tables_.emplace_back(rope, std::move(buffer));
    return static_cast<const float*>(tables_.back().second.data());
  }

 private:
  int model_len_, positions_max_;
  std::vector<std::pair<layers::RopeConfig, tensor::Buffer>> tables_;
};

}  // namespace polymath::model
