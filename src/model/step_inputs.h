#pragma once

// A step's arrays in device memory: packed into one stretch, so that one copy carries them. Where each stands depends
// on the step's extent alone, so that a captured step finds them again.

#include <vector>

#include "backend/backend.h"
#include "model/batch.h"

namespace polymath::model {

// What a query's position does to it (Llama 4): log(floor((p + 1) / floor) + 1) * scale + 1.
struct QueryTemperature {
  float floor = 0;  // 0: nothing
  float scale = 0;
};

// One step's arrays on the device.
struct StepViews {
  int64_t n = 0;  // rows; with `recorded`, those included that only fill the step up
  tensor::Tensor tokens, token_rows, logit_rows;
  const float* factors = nullptr;  // [n] of QueryTemperature, or null
  const backend::SampleParams* sampling = nullptr;
  backend::StepLayout layout;
};

class StepInputs {
 public:
  StepInputs() = default;
  static absl::StatusOr<StepInputs> create(backend::Backend& backend, const backend::StepLimits& limits,
                                           QueryTemperature temperature);

  // Sends `batch`. rows > 0: a step to be recorded, or replayed: `rows` sequences of one token each, of which the batch
  // has the first.
  StepViews put(backend::Backend& backend, const Batch& batch, int rows);

 private:
  template <typename T>
  tensor::Tensor place(int64_t n, tensor::DType dtype, T** host);

  tensor::Buffer device_;
  std::vector<int32_t> host_;
  size_t used_ = 0;
  int blocks_max_ = 0;
  QueryTemperature temperature_;
};

}  // namespace polymath::model
