#pragma once

// Results of the steps in flight: where the host will read each step's logits and sampled tokens.

#include <array>

#include "backend/backend.h"
#include "model/batch.h"
#include "model/model.h"

namespace polymath::model {

class StepResults {
 public:
  static constexpr int kInFlightMax = 2;  // steps; a third start() is a CHECK

  // Enqueues readbacks behind a step's ops. `logits` [logit rows, vocab] f32, `sampled` [logit rows] i32.
  void enqueue(backend::Backend& backend, const Batch& batch, const tensor::Tensor& logits,
               const tensor::Tensor& sampled);
  // A step without results.
  void enqueue_none();
  // Of the oldest step; valid until the next call. REQUIRES: in_flight() > 0.
  absl::StatusOr<StepResult> await(backend::Backend& backend);
  int in_flight() const { return static_cast<int>(n_started_ - n_finished_); }

 private:
  struct InFlightStep {
    tensor::Tensor logits, ids;
  };
  std::array<InFlightStep, kInFlightMax> steps_;
  uint64_t n_started_ = 0, n_finished_ = 0;  // a step's result slot is its number modulo kInFlightMax
};

}  // namespace polymath::model
