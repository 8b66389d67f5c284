#pragma once

// Grouped-query attention (arXiv:2305.13245) over paged keys and values. Variants are data: windows, chunks, sinks,
// norms of q and k, NoPE.

#include <memory>
#include <string>

#include "layers/attention_layer.h"
#include "layers/builder.h"
#include "layers/rope.h"

namespace polymath::layers {

enum class QkNorm {
  kNone,
  kHead,       // RMS norm of each head before the rotation (Qwen3)
  kHeadAfter,  // RMS norm of each head after the rotation (Hunyuan)
  kFull,       // RMS norm of the whole projection before the rotation (OLMoE)
  kL2After,    // weightless RMS norm of each head after the rotation, on rotated layers (Llama 4)
  kCount,
};

// What the sigmoid that multiplies the output comes from.
enum class OutputGate {
  kNone,
  kWithQuery,  // q_proj gives each head a query and a gate (Qwen3-Next)
  kApart,      // a projection of its own (AFMoE)
  kCount,
};

struct GroupedQuery {
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  float scale = 0;
  bool qkv_bias = false, out_bias = false;
  float clip_qkv = 0;  // > 0: q, k, v are clamped to +- this
  QkNorm qk_norm = QkNorm::kNone;
  int window = 0;  // > 0: sliding window
  int chunk = 0;   // > 0: chunked attention
  bool sinks = false;
  OutputGate output_gate = OutputGate::kNone;
  RopeConfig rope;
  QueryTemperature temperature;

  absl::Status check() const;
  void add_slots(SlotList& slots, int64_t hidden) const;
  kvcache::CacheSpec cache() const;
  backend::AttentionParams params() const { return {n_heads, scale, window, chunk, nullptr}; }
  backend::QkvParams qkv_params() const;  // without the weights' pointers
  void reserve(StepNeeds& needs) const;
  // Becomes one rank's part. A norm over all heads needs them all, so its layer is replicated.
  absl::Status split(parallel::Rank rank);
  absl::StatusOr<std::unique_ptr<AttentionLayer>> make(const LayerBuilder& builder) const;
  std::string text() const;  // "GQA, 32 heads over 8 of 128, window 4096"

  bool replicated() const { return qk_norm == QkNorm::kFull; }
  int q_parts() const { return output_gate == OutputGate::kWithQuery ? 2 : 1; }  // of a head of q_proj
  int64_t q_width() const { return static_cast<int64_t>(n_heads) * head_dim; }
  int64_t projected_q_width() const { return q_parts() * q_width(); }
  int64_t kv_width() const { return static_cast<int64_t>(n_kv_heads) * head_dim; }
};

}  // namespace polymath::layers
