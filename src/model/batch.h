#pragma once

// One step's input as flat host arrays. A sequence's tokens are consecutive and in order. A decode is a sequence of one
// token, or of one token and its drafts.

#include <cstdint>
#include <span>

#include "backend/params.h"
#include "kvcache/state_pool.h"

namespace polymath::model {

using backend::SampleParams;
using kvcache::StateCopy;

struct Batch {
  std::span<const int32_t> tokens;       // [n_tokens]
  std::span<const int32_t> positions;    // [n_tokens]
  std::span<const int32_t> slots;        // [n_tokens]: block * block_size + offset
  std::span<const int32_t> query_start;  // [n_seqs + 1]
  std::span<const int32_t> kv_len;       // [n_seqs]
  std::span<const int32_t> block_table;  // [n_seqs * block_table_width]; unused entries are any valid block
  int block_table_width = 0;
  std::span<const int32_t> logit_rows;  // rows whose logits are wanted, ascending; may be empty

  // For a model that samples on the device (Model::samples_on_device()).
  // [n_tokens] or empty. >= 0: the token sampled from this logit row of the step started before; tokens[i] is not read.
  // -1: tokens[i].
  std::span<const int32_t> token_rows;
  // [logit_rows]: how to sample the token after each row. Empty: nothing is sampled.
  std::span<const SampleParams> sampling;
  // With `sampling`: the logit rows, ascending, whose logits the host wants as well. Without: all of them are wanted.
  std::span<const int32_t> host_rows;

  // For a model with recurrent layers (Model::has_state()); else empty. Slots are those of kvcache::StatePool.
  std::span<const int32_t> state_slots;  // [n_seqs]: the state before the sequence's first token; overwritten
  // Before the step, in this order. `from` -1: fill `to` with zeros.
  std::span<const StateCopy> state_copies;
  // After the step: snapshots of states. `from` is a state slot of this batch; each `to` occurs once.
  std::span<const StateCopy> state_saves;

  // [n_seqs]: index of each sequence's LoRA adapter; -1: the base model. Empty: -1 for all.
  std::span<const int32_t> adapters;

  int n_tokens() const { return static_cast<int>(tokens.size()); }
  int n_seqs() const { return static_cast<int>(kv_len.size()); }
  int n_host_rows() const { return static_cast<int>(sampling.empty() ? logit_rows.size() : host_rows.size()); }
};

}  // namespace polymath::model
