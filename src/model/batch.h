#pragma once

// One step's input as flat host arrays. A sequence's tokens are consecutive and in order; a decode is a sequence
// with one token.

#include <cstdint>
#include <span>

#include "backend/params.h"

namespace polymath::model {

using backend::SampleParams;

struct Batch {
  std::span<const int32_t> tokens;       // [n_tokens]
  std::span<const int32_t> positions;    // [n_tokens]
  std::span<const int32_t> slots;        // [n_tokens]: block * block_size + offset
  std::span<const int32_t> query_start;  // [n_seqs + 1]
  std::span<const int32_t> kv_len;       // [n_seqs]
  std::span<const int32_t> block_table;  // [n_seqs * block_table_width]; unused entries are any valid block
  int block_table_width = 0;
  std::span<const int32_t> logit_rows;  // rows whose logits are wanted, ascending; may be empty

  // Of a model that chooses tokens itself (Model::samples_on_device()).
  // [n_tokens] or empty: >= 0: the token is the one chosen for this logit row of the step started before this one,
  // and tokens[i] is not looked at. -1: tokens[i].
  std::span<const int32_t> token_rows;
  // [logit_rows] or empty (no token is chosen): how the token after each row is chosen.
  std::span<const SampleParams> sampling;
  // Where `sampling` is given: the logit rows, ascending, whose logits the host wants as well. Where it is not, all
  // are.
  std::span<const int32_t> host_rows;

  int n_tokens() const { return static_cast<int>(tokens.size()); }
  int n_seqs() const { return static_cast<int>(kv_len.size()); }
  int n_host_rows() const { return static_cast<int>(sampling.empty() ? logit_rows.size() : host_rows.size()); }
};

}  // namespace polymath::model
