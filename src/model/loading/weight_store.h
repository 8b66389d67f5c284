#pragma once

// The weights of a loaded model, by slot.

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "backend/backend.h"
#include "model/config.h"
#include "model/loading/load.h"
#include "model/loading/weight_source.h"
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
  // The same memory, which this store must outlive.
  WeightStore view() const;
  int64_t packed_linear_max() const { return packed_linear_max_; }  // as backend::StepLimits

 private:
  friend class WeightLoader;
  absl::flat_hash_map<std::string, quant::Weight> matrices_;
  absl::flat_hash_map<std::string, tensor::Buffer> vectors_;
  int64_t packed_linear_max_ = 0;
};

// Where a slot's weights come from, and go to.
struct WeightPath {
  const weights::Checkpoint& checkpoint;
  const backend::Backend& backend;
  const LoadOptions& options;
};
// kUnimplemented: the backend keeps a format of LoadOptions::pack_to unpacked.
absl::Status check_packing(const LoadOptions& options, const backend::Backend& backend);
// Rows of a matrix slot that are kept as one weight.
struct WeightPart {
  const quant::QuantFormat* format = nullptr;
  int64_t row_begin = 0;  // in the rank's part of the slot
  quant::WeightShape shape;
};
// The weights that a matrix slot is kept as, usually one. Joined projections are several where a file stores them in
// several formats, and the backend keeps one of them packed. `pieces`: of the rank's part, whose shape this is.
std::vector<WeightPart> weight_parts(const WeightPath& path, const Slot& slot, const quant::WeightShape& shape,
                                     const std::vector<PieceSource>& pieces);

// Bytes of a vector slot on the device.
inline size_t vector_bytes(const quant::WeightShape& shape) {
  return static_cast<size_t>(shape.groups * shape.rows) * sizeof(float);
}

// Fills every slot of the config from the checkpoint. kInvalidArgument: names missing, all listed.
absl::StatusOr<WeightStore> load_weights(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                         backend::Backend& backend, const LoadOptions& options);

}  // namespace polymath::model
