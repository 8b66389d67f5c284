#include "model/batch_copy.h"

namespace polymath::model {
namespace {

template <typename T>
std::span<const T> keep(std::span<const T> from, std::vector<T>& to) {
  to.assign(from.begin(), from.end());
  return to;
}

}  // namespace

void BatchCopy::assign(const Batch& batch) {
  batch_.tokens = keep(batch.tokens, tokens_);
  batch_.positions = keep(batch.positions, positions_);
  batch_.slots = keep(batch.slots, slots_);
  batch_.query_start = keep(batch.query_start, query_start_);
  batch_.kv_len = keep(batch.kv_len, kv_len_);
  batch_.block_table = keep(batch.block_table, block_table_);
  batch_.block_table_width = batch.block_table_width;
  batch_.logit_rows = keep(batch.logit_rows, logit_rows_);
  batch_.token_rows = keep(batch.token_rows, token_rows_);
  batch_.sampling = keep(batch.sampling, sampling_);
  batch_.host_rows = keep(batch.host_rows, host_rows_);
  batch_.state_slots = keep(batch.state_slots, state_slots_);
  batch_.state_copies = keep(batch.state_copies, state_copies_);
  batch_.state_saves = keep(batch.state_saves, state_saves_);
  batch_.adapters = keep(batch.adapters, adapters_);
}

}  // namespace polymath::model
