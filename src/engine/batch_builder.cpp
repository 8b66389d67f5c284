#include "engine/batch_builder.h"

#include <algorithm>

#include "base/check.h"

namespace polymath::engine {

BatchBuilder::BatchBuilder(const SchedulerLimits& limits, int model_len_max) : block_size_(limits.block_size) {
  for (auto* per_token : {&tokens_, &token_rows_, &positions_, &slots_}) per_token->reserve(limits.step_tokens_max);
  query_start_.reserve(limits.sequences_max + 1);
  kv_len_.reserve(limits.sequences_max);
  logit_rows_.reserve(limits.sequences_max);
  block_table_.resize(int64_t{limits.sequences_max} * (model_len_max / block_size_ + 1));
}

const model::Batch& BatchBuilder::build(const StepPlan& plan) {
  for (auto* array : {&tokens_, &token_rows_, &positions_, &slots_, &query_start_, &kv_len_, &logit_rows_}) {
    array->clear();
  }
  n_unknown_ = 0;
  query_start_.push_back(0);
  size_t width = 1;
  for (const auto& item : plan.items) width = std::max(width, item.sequence->blocks.size());
  CHECK(width * plan.items.size() <= block_table_.size());
  batch_.block_table_width = static_cast<int>(width);
  for (const auto& item : plan.items) add(item);
  batch_.tokens = tokens_;
  batch_.positions = positions_;
  batch_.slots = slots_;
  batch_.query_start = query_start_;
  batch_.kv_len = kv_len_;
  batch_.block_table = std::span(block_table_).first(width * plan.items.size());
  batch_.logit_rows = logit_rows_;
  batch_.token_rows = n_unknown_ > 0 ? std::span<const int32_t>(token_rows_) : std::span<const int32_t>();
  return batch_;
}

// What stands behind a sequence's blocks in the table is left from before: some valid block.
void BatchBuilder::add(const StepPlan::Item& item) {
  Sequence& sequence = *item.sequence;
  const auto row = block_table_.begin() + static_cast<int64_t>(kv_len_.size()) * batch_.block_table_width;
  std::copy(sequence.blocks.begin(), sequence.blocks.end(), row);
  const int end = sequence.computed_len + item.n_tokens;
  CHECK(tokens_.size() + item.n_tokens <= tokens_.capacity());
  for (int position = sequence.computed_len; position < end; ++position) {
    const bool known = position < sequence.token_len();
    n_unknown_ += known ? 0 : 1;
    token_rows_.push_back(known ? -1 : sequence.sampled_row);
    if (sequence.wants_logits(position)) {
      sequence.sampled_row = static_cast<int32_t>(logit_rows_.size());
      logit_rows_.push_back(static_cast<int32_t>(tokens_.size()));
    }
    tokens_.push_back(known ? sequence.tokens[position] : 0);
    positions_.push_back(position);
    slots_.push_back(sequence.blocks[position / block_size_] * block_size_ + position % block_size_);
  }
  kv_len_.push_back(end);
  query_start_.push_back(static_cast<int32_t>(tokens_.size()));
  CHECK(logit_rows_.size() <= logit_rows_.capacity() && kv_len_.size() <= kv_len_.capacity());
}

}  // namespace polymath::engine
