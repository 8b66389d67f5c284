#pragma once

// From a step's plan to the flat arrays that a model reads. The arrays are set aside once, for the largest step.

#include <cstdint>
#include <vector>

#include "engine/scheduler.h"
#include "model/batch.h"

namespace polymath::engine {

class BatchBuilder {
 public:
  // `model_len_max`: the longest sequence there will be.
  BatchBuilder(const SchedulerLimits& limits, int model_len_max);

  // Valid until the next call. The rows of an item's logits follow each other, items in the plan's order. An unknown
  // token is named by its row, and each sequence learns which row the next one will be chosen from (sampled_row).
  const model::Batch& build(const StepPlan& plan);

 private:
  void add(const StepPlan::Item& item);

  const int block_size_;
  std::vector<int32_t> tokens_, positions_, slots_, query_start_, kv_len_, block_table_, logit_rows_, token_rows_;
  int n_unknown_ = 0;  // tokens
  model::Batch batch_;
};

}  // namespace polymath::engine
