#pragma once

// A step's arrays, kept until a thread of another rank has read them, or filled from another node's message.

#include <utility>
#include <vector>

#include "model/batch.h"

namespace polymath::model {

class BatchCopy {
 public:
  // Allocates only for the largest step so far.
  void assign(const Batch& batch);
  const Batch& batch() const { return batch_; }

  // `f` of each array, always in the same order.
  template <typename F>
  void each_array(F f) const {
    const_cast<BatchCopy*>(this)->each([&](auto Batch::*, const auto& values) { f(values); });
  }
  // `f` fills each array in that order.
  template <typename F>
  void fill(int block_table_width, F f) {
    batch_.block_table_width = block_table_width;
    each([&](auto Batch::*span, auto& values) {
      f(values);
      batch_.*span = values;
    });
  }

 private:
  template <typename F>
  void each(F f) {
    f(&Batch::tokens, tokens_);
    f(&Batch::positions, positions_);
    f(&Batch::slots, slots_);
    f(&Batch::query_start, query_start_);
    f(&Batch::kv_len, kv_len_);
    f(&Batch::block_table, block_table_);
    f(&Batch::logit_rows, logit_rows_);
    f(&Batch::token_rows, token_rows_);
    f(&Batch::sampling, sampling_);
    f(&Batch::host_rows, host_rows_);
    f(&Batch::state_slots, state_slots_);
    f(&Batch::state_copies, state_copies_);
    f(&Batch::state_saves, state_saves_);
    f(&Batch::adapters, adapters_);
  }

  Batch batch_;
  std::vector<int32_t> tokens_, positions_, slots_, query_start_, kv_len_, block_table_, logit_rows_, token_rows_,
      host_rows_, state_slots_, adapters_;
  std::vector<SampleParams> sampling_;
  std::vector<StateCopy> state_copies_, state_saves_;
};

}  // namespace polymath::model
