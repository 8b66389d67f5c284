#pragma once

// One step's input as flat host arrays. A sequence's tokens are consecutive and in order; a decode is a sequence
// with one token.

#include <cstdint>
#include <span>

namespace polymath::model {

struct Batch {
  std::span<const int32_t> tokens;       // [n_tokens]
  std::span<const int32_t> positions;    // [n_tokens]
  std::span<const int32_t> slots;        // [n_tokens]: block * block_size + offset
  std::span<const int32_t> query_start;  // [n_seqs + 1]
  std::span<const int32_t> kv_len;       // [n_seqs]
  std::span<const int32_t> block_table;  // [n_seqs * block_table_width]; unused entries are any valid block
  int block_table_width = 0;
  std::span<const int32_t> logit_rows;  // rows whose logits are wanted, ascending; may be empty

  int n_tokens() const { return static_cast<int>(tokens.size()); }
  int n_seqs() const { return static_cast<int>(kv_len.size()); }
};

}  // namespace polymath::model
