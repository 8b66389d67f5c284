#include "engine/batch_builder.h"

#include <algorithm>

#include "base/check.h"

namespace polymath::engine {

BatchBuilder::BatchBuilder(const SchedulerLimits& limits, int model_len_max)
    : block_size_(limits.block_size), has_states_(limits.n_state_slots > 0) {
  for (auto* per_token : {&tokens_, &token_rows_, &positions_, &slots_}) per_token->reserve(limits.step_tokens_max);
  for (auto* per_sequence : {&kv_len_, &state_slots_, &adapters_}) per_sequence->reserve(limits.sequences_max);
  query_start_.reserve(limits.sequences_max + 1);
  logit_rows_.reserve(std::max(limits.sequences_max, limits.logit_rows_max));
  block_table_.resize(int64_t{limits.sequences_max} * (model_len_max / block_size_ + 1));
}

const model::Batch& BatchBuilder::build(const StepPlan& plan) {
  for (auto* array : {&tokens_, &token_rows_, &positions_, &slots_, &query_start_, &kv_len_, &logit_rows_,
                      &state_slots_, &adapters_}) {
    array->clear();
  }
  has_unknown_ = has_adapters_ = false;
  query_start_.push_back(0);
  size_t width = 1;
  for (const auto& item : plan.items) width = std::max(width, item.sequence->blocks.size());
  CHECK(width * plan.items.size() <= block_table_.size());
  batch_.block_table_width = static_cast<int>(width);
  for (const auto& item : plan.items) add(item);
  using Ids = std::span<const int32_t>;
  batch_.tokens = tokens_;
  batch_.positions = positions_;
  batch_.slots = slots_;
  batch_.query_start = query_start_;
  batch_.kv_len = kv_len_;
  batch_.block_table = std::span(block_table_).first(width * plan.items.size());
  batch_.logit_rows = logit_rows_;
  batch_.token_rows = has_unknown_ ? Ids(token_rows_) : Ids();
  batch_.state_slots = state_slots_;
  batch_.state_copies = plan.state_copies;
  batch_.state_saves = plan.state_saves;
  batch_.adapters = has_adapters_ ? Ids(adapters_) : Ids();
  return batch_;
}

// Entries after a sequence's blocks stay as they were. Each is some valid block.
void BatchBuilder::add(const StepItem& item) {
  Sequence& sequence = *item.sequence;
  const auto row = block_table_.begin() + static_cast<int64_t>(kv_len_.size()) * batch_.block_table_width;
  std::copy(sequence.blocks.begin(), sequence.blocks.end(), row);
  const int begin = sequence.computed_len, end = begin + item.n_tokens, first_draft = end - item.n_draft;
  CHECK(tokens_.size() + item.n_tokens <= tokens_.capacity());
  for (int position = begin; position < end; ++position) {
    const bool known = position < sequence.token_len(), draft = position >= first_draft;
    has_unknown_ |= !known && !draft;
    token_rows_.push_back(known || draft ? -1 : sequence.sampled_row);
    if (sequence.wants_logits(position)) {
      sequence.sampled_row = static_cast<int32_t>(logit_rows_.size());
      logit_rows_.push_back(static_cast<int32_t>(tokens_.size()));
    }
    tokens_.push_back(known ? sequence.tokens[position] : draft ? sequence.drafts[position - first_draft] : 0);
    positions_.push_back(position);
    slots_.push_back(sequence.blocks[position / block_size_] * block_size_ + position % block_size_);
  }
  kv_len_.push_back(end);
  query_start_.push_back(static_cast<int32_t>(tokens_.size()));
  if (has_states_) state_slots_.push_back(sequence.state_slot);
  adapters_.push_back(sequence.adapter);
  has_adapters_ |= sequence.adapter >= 0;
  CHECK(logit_rows_.size() <= logit_rows_.capacity() && kv_len_.size() <= kv_len_.capacity());
}

}  // namespace polymath::engine
