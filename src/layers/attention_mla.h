#pragma once

// Multi-head latent attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434). Queries are projected into the
// latent space, so attention reads cached latents unchanged.

#include <memory>
#include <string>

#include "layers/attention_layer.h"
#include "layers/builder.h"
#include "layers/rope.h"

namespace polymath::layers {

struct Latent {
  int n_heads = 0;
  float scale = 0;
  int q_lora = 0;  // 0: q is projected directly
  int kv_lora = 0;
  int nope_dim = 0;  // of a query head, beside rope.dims
  int value_dim = 0;
  float norm_eps = 1e-6f;  // of the latents' norms; the models' classes leave it there, whatever the other norms have
  RopeConfig rope;
  QueryTemperature temperature;

  absl::Status check() const;
  void add_slots(SlotList& slots, int64_t hidden) const;
  kvcache::CacheSpec cache() const;
  backend::AttentionParams params() const { return {.n_heads = n_heads, .scale = scale}; }
  backend::LatentParams latent_params() const;  // without the weights' pointers
  void reserve(StepNeeds& needs) const;
  // Becomes one rank's part. Heads are split. Every rank has the latents.
  absl::Status split(parallel::Rank rank);
  absl::StatusOr<std::unique_ptr<AttentionLayer>> make(const LayerBuilder& builder) const;
  std::string text() const;  // "MLA, 16 heads, latent 512 + 64"

  int head_dim() const { return nope_dim + rope.dims; }
  int key_dim() const { return kv_lora + rope.dims; }  // of a cached key
  int64_t q_width() const { return static_cast<int64_t>(n_heads) * head_dim(); }
  int64_t x_width() const { return (q_lora > 0 ? q_lora : q_width()) + key_dim(); }  // of the first projection
};

}  // namespace polymath::layers
