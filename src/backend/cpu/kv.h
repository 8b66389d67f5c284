#pragma once

// The KV cache's layout is that of weights, so Q K^T and P V run on the tiles of kernels.h. A block has, for each kv
// head:
//
//   keys    [block_size/16][steps of a key][16 tokens]    words: f32, or bf16 pairs of a key's elements
//   values  [value_dim/16][steps of a block][16 elements] words: f32, or bf16 pairs of two tokens
//
// A packed cache has the same order, with a byte for each bf16 element. After a head's panels come the f32 scales of
// the block's keys, then of its values. Attention unpacks the panels of a run of keys.
//
// Elements past the end of a key or value are 0. A bf16 token with an even index clears its neighbour's half-words. An
// earlier sequence may have left a NaN there, and 0 * NaN is NaN.

#include "backend/cpu/context.h"

namespace polymath::backend::cpu {

constexpr int kWord = 4;
constexpr int kPanelStep = kPanel * kWord;  // bytes

struct KvPanels {
  explicit KvPanels(const KvShape& shape);

  int64_t key_offset(int64_t head, int64_t token) const {  // of the panel that holds a block's token
    return head * head_bytes + token / kPanel * key_panel_bytes;
  }
  int64_t value_offset(int64_t head) const { return head * head_bytes + shape.block_size / kPanel * key_panel_bytes; }

  int64_t scale_offset(int64_t head) const { return (head + 1) * head_bytes - scale_bytes; }

  KvShape shape;
  bool pairs, packed;
  int64_t key_steps, block_steps, value_panels;
  int64_t step_bytes;  // of a panel
  int64_t key_panel_bytes, value_panel_bytes, scale_bytes, head_bytes, block_bytes;
};

absl::Status check_kv(const KvShape& shape);
void kv_write(Context& context, const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots);

// Makes value panels of a latent cache's keys: elements [0, value_dim) of a run of n tokens. `key_panels` holds the
// run's panels. `values` is [value_dim/16][kRunTokens / tokens of a step][16]. Steps past n are not defined.
constexpr int kRunTokens = 128;  // keys whose scores are kept at once (see attention.h)
void transpose_latent(const KvPanels& panels, std::span<const std::byte* const> key_panels, int n, std::byte* values);

}  // namespace polymath::backend::cpu
