#pragma once

// Batch -> logits, or the tokens sampled from them. Knows layers; knows no request.
//
//   RETURN_IF_ERROR(model.start(batch));                     // does not wait for the device
//   ASSIGN_OR_RETURN(const StepResult r, model.finish());    // waits for the step started first
//
// Up to steps_in_flight_max() steps may be started before the first is finished, so that one is planned while another
// runs. Batch::token_rows names tokens that the device sampled. Without it, steps in flight compute different tokens.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "model/balance/report.h"
#include "model/batch.h"
#include "tensor/tensor.h"

namespace polymath::model {

// Of one step; valid until the next start() or finish().
struct StepResult {
  tensor::Tensor logits;         // [host rows, vocab] f32 in host memory; empty if none were wanted
  std::span<const int32_t> ids;  // [logit_rows]: sampled, or kNotNumbers; empty where Batch::sampling was
};
inline constexpr int32_t kNotNumbers = -1;  // the row's logits are NaN or infinite

class Model {
 public:
  virtual ~Model() = default;

  // A step's spans are read before this returns. kInternal: the device failed.
  // REQUIRES: fewer than steps_in_flight_max() steps are in flight; samples_on_device(), if `sampling` or `token_rows`
  // are given.
  virtual absl::Status start(const Batch& batch) = 0;
  // The step that was started first. kInternal: the device failed, and no step can follow. NaNs in logits are passed
  // on; the sampler sees them. REQUIRES: a step is in flight.
  virtual absl::StatusOr<StepResult> finish() = 0;
  // One step alone, all its logits. REQUIRES: none is in flight.
  absl::StatusOr<tensor::Tensor> forward(const Batch& batch) {
    RETURN_IF_ERROR(start(batch));
    ASSIGN_OR_RETURN(const StepResult result, finish());
    return result.logits;
  }

  // Also between steps: whether the other nodes of its group are there. Any thread.
  virtual absl::Status health() const { return absl::OkStatus(); }
  // For tests: the steps that start from now on meet a fault of the device. False: it can make none.
  virtual bool make_fault() { return false; }
  virtual bool samples_on_device() const { return false; }
  virtual int steps_in_flight_max() const { return 1; }
  virtual int vocab() const = 0;
  virtual bool has_state() const { return false; }  // recurrent layers: reads Batch::state_slots
  virtual int n_adapters() const { return 0; }      // LoRA adapters: Batch::adapters are below this

  // What the routers did since the start, per layer with a router. Read by the thread that calls start; waits for the
  // steps in flight. Empty after a failure.
  struct ExpertLoad {
    int layer = 0;
    std::span<const int64_t> pairs;      // (token, choice), of each expert
    std::span<const int64_t> steps;      // in which the expert had a pair
    int64_t n_steps = 0;                 // that ran the layer
    int experts_per_rank = 0;            // a rank's experts follow each other; 0 or all of them: ranks split no experts
    std::span<const int32_t> placement;  // of experts that move: the one in each slot of each rank; else empty
    std::optional<double> seconds;       // of the layer's feed-forward part; absent: the device's, not measured
    std::optional<double> top_shares;    // of each token: its largest weight over their sum; absent: not read back
    int64_t n_tokens = 0;                // that `top_shares` is a sum over
    int64_t n_dropped = 0;               // choices over an expert's capacity
  };
  virtual std::vector<ExpertLoad> expert_load() const { return {}; }
  // What moving experts between ranks has done. Null: they stay. Read by the thread that calls start.
  virtual const BalanceReport* balance_report() const { return nullptr; }
};

}  // namespace polymath::model
