#pragma once

// CUDA graphs of steps that decode: one token a sequence, by number of rows. A smaller batch pads to the next size.
//
// Thread safety: none; the thread that starts steps.

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "model/batch.h"
#include "model/step_inputs.h"

namespace polymath::model {

// Contexts up to here have graphs of their own: CUDA's attention splits no keys below, but latent ones.
inline constexpr int kShortContext = 1024;

struct CapturedStep {
  int rows = 0;
  int keys_most = 0;  // of any sequence's context; 0: any
  std::unique_ptr<backend::CapturedGraph> graph;
};

class GraphCapture {
 public:
  // Captures `run` for every size up to `rows_max`. Each is run once before, so that lazy loading is not captured.
  absl::Status capture(backend::Backend& backend, StepInputs& inputs, int rows_max,
                       const std::function<void(const StepViews&)>& run);
  // Graphs that capture() makes.
  static int count(int rows_max);
  // Null: this step is run op by op.
  const CapturedStep* find(const Batch& batch) const;
  size_t bytes() const { return bytes_; }

 private:
  std::vector<CapturedStep> steps_;  // by rows; of the same rows, short contexts first
  size_t bytes_ = 0;
};

}  // namespace polymath::model
