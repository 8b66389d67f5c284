#pragma once

// Rotary tables in device memory, one for each different config.

#include <utility>
#include <vector>

#include "backend/backend.h"
#include "layers/rope.h"

namespace polymath::model {

class RopeTables {
 public:
  RopeTables(int model_len, int positions_max) : model_len_(model_len), positions_max_(positions_max) {}
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
