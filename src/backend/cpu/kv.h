#pragma once

// How the KV cache stands in memory: as weights do, so that scores and sums of values run on the tiles of kernels.h.
// In a block, for each kv head:
//
//   keys    panels of 16 tokens: [block/16][steps of a key][16 tokens]  words of bf16 pairs (two numbers of a key) or
//   f32 values  panels of 16 numbers: [value_dim/16][steps of a block][16]  words of bf16 pairs (two tokens) or f32
//
// Numbers past the end of a key or value are zeros. A token at an even place clears the half-word of its neighbour:
// what an earlier sequence left there must not meet a probability of zero.

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

  KvShape shape;
  bool pairs;
  int64_t key_steps, block_steps, value_panels;
  int64_t key_panel_bytes, value_panel_bytes, head_bytes, block_bytes;
};

absl::Status check_kv(const KvShape& shape);
void kv_write(Context& context, const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots);

// Values of a latent cache: numbers [0, value_dim) of the keys of a run of n tokens, whose key panels are given, as
// value panels [value_dim/16][kRunTokens / tokens of a step][16]. Steps past n are left as they are.
constexpr int kRunTokens = 128;  // keys whose scores are kept at once (see attention.h)
void transpose_latent(const KvPanels& panels, std::span<const std::byte* const> key_panels, int n, std::byte* values);

}  // namespace polymath::backend::cpu
