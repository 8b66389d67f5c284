#pragma once

// A step's arrays, kept until a thread of another rank has read them.

#include <vector>

#include "model/batch.h"

namespace polymath::model {

class BatchCopy {
 public:
  // Allocates only for the largest step so far.
  void assign(const Batch& batch);
  const Batch& batch() const { return batch_; }

 private:
  Batch batch_;
  std::vector<int32_t> tokens_, positions_, slots_, query_start_, kv_len_, block_table_, logit_rows_, token_rows_,
      host_rows_, state_slots_, adapters_;
  std::vector<SampleParams> sampling_;
  std::vector<StateCopy> state_copies_, state_saves_;
};

}  // namespace polymath::model
