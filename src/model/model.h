#pragma once

// forward(Batch) -> logits. Knows layers; knows no request.

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "model/batch.h"
#include "tensor/tensor.h"

namespace polymath::model {

class Model {
 public:
  virtual ~Model() = default;

  // Logits [logit_rows, vocab] f32 in host memory, valid until the next forward. Empty if none were wanted.
  // kInternal: the device failed. NaNs are passed on; the sampler sees them.
  virtual absl::StatusOr<tensor::Tensor> forward(const Batch& batch) = 0;

  virtual int vocab() const = 0;

  // Pairs (token, choice) that went to each expert since the start, per layer with a router: [layers][experts].
  // Read by the thread that calls forward.
  struct ExpertLoad {
    int layer = 0;
    std::span<const int64_t> pairs;
  };
  virtual std::vector<ExpertLoad> expert_load() const { return {}; }
};

}  // namespace polymath::model
