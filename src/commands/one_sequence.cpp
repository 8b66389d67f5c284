#include "commands/one_sequence.h"

#include <numeric>

namespace polymath::commands {

OneSequence::OneSequence(const model::Transformer& model, int block_size, int tokens_max)
    : has_state_(model.has_state()), table_(static_cast<size_t>((tokens_max + block_size - 1) / block_size)) {
  std::iota(table_.begin(), table_.end(), 0);
}

model::Batch OneSequence::step(std::span<const int32_t> tokens, Logits logits) {
  const auto n = static_cast<int32_t>(tokens.size());
  tokens_.assign(tokens.begin(), tokens.end());
  places_.resize(tokens.size());  // the blocks follow each other, so a token's slot is its position
  std::iota(places_.begin(), places_.end(), computed_);
  starts_ = {0, n};
  lens_ = {computed_ + n};
  rows_.resize(logits == Logits::kAll ? tokens.size() : 1);
  std::iota(rows_.begin(), rows_.end(), logits == Logits::kAll ? 0 : n - 1);
  states_.assign(has_state_ ? 1 : 0, 0);
  cleared_.assign(has_state_ && computed_ == 0 ? 1 : 0, {-1, 0});
  computed_ += n;
  return {.tokens = tokens_,
          .positions = places_,
          .slots = places_,
          .query_start = starts_,
          .kv_len = lens_,
          .block_table = table_,
          .block_table_width = static_cast<int>(table_.size()),
          .logit_rows = rows_,
          .state_slots = states_,
          .state_copies = cleared_};
}

}  // namespace polymath::commands
