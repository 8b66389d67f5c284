#include "model/step_results.h"

namespace polymath::model {

using tensor::DType;
using tensor::Tensor;

void StepResults::enqueue(backend::Backend& backend, const Batch& batch, const Tensor& logits, const Tensor& sampled) {
  const int slot = static_cast<int>(n_started_++ % kInFlightMax);
  InFlightStep& step = steps_[static_cast<size_t>(slot)];
  const int64_t vocab = logits.cols();
  step = {};
  step.logits = {DType::kF32, {0, vocab}, nullptr};
  if (batch.logit_rows.empty()) return;
  if (batch.sampling.empty()) {
    step.logits = backend.enqueue_readback(slot, logits);
    return;
  }
  step.ids = backend.enqueue_readback(slot, sampled);
  for (size_t i = 0; i < batch.host_rows.size(); ++i) {  // the slot holds them one behind the other
    const Tensor row = backend.enqueue_readback(slot, logits.slice_rows(batch.host_rows[i], 1));
    if (i == 0) step.logits = {DType::kF32, {static_cast<int64_t>(batch.host_rows.size()), vocab}, row.data};
  }
}

void StepResults::enqueue_none() { steps_[static_cast<size_t>(n_started_++ % kInFlightMax)] = {}; }

absl::StatusOr<StepResult> StepResults::await(backend::Backend& backend) {
  CHECK(in_flight() > 0);
  const int slot = static_cast<int>(n_finished_++ % kInFlightMax);
  const InFlightStep& step = steps_[static_cast<size_t>(slot)];
  backend.await_readback(slot);
  RETURN_IF_ERROR(backend.health());
  StepResult result{step.logits, {}};
  if (!step.ids.empty()) result.ids = {step.ids.i32(), static_cast<size_t>(step.ids.shape[0])};
  return result;
}

}  // namespace polymath::model
