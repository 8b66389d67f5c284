#pragma once

// From a step's plan to the flat arrays that a model reads. The arrays are reserved once, for the largest step.

#include <cstdint>
#include <vector>

#include "engine/scheduler.h"
#include "model/batch.h"

namespace polymath::engine {

class BatchBuilder {
 public:
  // `model_len_max`: the longest sequence there will be.
  BatchBuilder(const SchedulerLimits& limits, int model_len_max);

  // Valid until the next call. Logit rows are in the plan's order. In an item: the prompt's, the last token's, the
  // drafts'. Sets each sequence's sampled_row, which names its unknown token in the next step.
  const model::Batch& build(const StepPlan& plan);

 private:
  void add(const StepItem& item);

  const int block_size_;
  const bool has_states_;
  std::vector<int32_t> tokens_, positions_, slots_, query_start_, kv_len_, block_table_, logit_rows_, token_rows_;
  std::vector<int32_t> state_slots_, adapters_;
  bool has_unknown_ = false;   // tokens
  bool has_adapters_ = false;  // a sequence has one
  model::Batch batch_;
};

}  // namespace polymath::engine
