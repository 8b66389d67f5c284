#pragma once

// A step's arrays in device memory, packed so that one copy carries them. Their places depend on the step's extent
// alone, so that a CUDA graph finds them again.

#include <vector>

#include "backend/backend.h"
#include "layers/attention_layer.h"
#include "model/batch.h"

namespace polymath::model {

// One step's arrays on the device.
struct StepViews {
  int64_t n = 0;  // rows, padding rows included
  tensor::Tensor tokens, token_rows, logit_rows;
  tensor::Tensor adapters;         // [n]: each token's adapter, -1: none; empty: none at all
  tensor::Tensor state_slots;      // [n_seqs]; empty: no recurrent layer
  const float* factors = nullptr;  // [n] of QueryTemperature, or null
  const backend::SampleParams* sampling = nullptr;
  backend::StepLayout layout;
};

class StepInputs {
 public:
  StepInputs() = default;
  static absl::StatusOr<StepInputs> create(backend::Backend& backend, const backend::StepLimits& limits,
                                           layers::QueryTemperature temperature);
  // Bytes of the device that create() allocates.
  static size_t bytes(const backend::StepLimits& limits) { return words(limits) * sizeof(int32_t); }

  // Sends `batch`. rows > 0: for a CUDA graph of `rows` sequences of one token; those behind the batch's are padding.
  StepViews put(backend::Backend& backend, const Batch& batch, int rows);

 private:
  static size_t words(const backend::StepLimits& limits);
  template <typename T>
  tensor::Tensor place(int64_t n, tensor::DType dtype, T** host);

  tensor::Buffer device_;
  std::vector<int32_t> host_;
  size_t used_ = 0;
  int blocks_max_ = 0;
  layers::QueryTemperature temperature_;
};

}  // namespace polymath::model
