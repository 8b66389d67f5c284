#pragma once

// The ops' parameters beside tensors, and the scalar functions that all backends share. CUDA kernels include this
// header: keep it light.

#include <math.h>
#include <stdint.h>

#include "routing/router.h"

namespace polymath::backend {

// y = [y +] scale * clamp(x W^T + bias)
struct LinearEpilogue {
  const float* bias = nullptr;  // [groups * rows of w]; device memory
  bool accumulate = false;      // add to what y holds (f32 y only)
  float scale = 1;
  float clamp = 0;  // > 0: x W^T + bias is clamped to [-clamp, clamp] (DBRX's clip_qkv)
};

enum class NormKind {
  kRms,    // x / sqrt(mean(x^2) + eps) * weight
  kLayer,  // (x - mean) / sqrt(var + eps) * weight + bias
  kCount,
};

struct NormParams {
  NormKind kind = NormKind::kRms;
  float eps = 1e-6f;
  int segments = 1;               // a row is this many equal segments, each normalised by itself (per-head norms)
  const float* weight = nullptr;  // [cols / segments], or null: 1
  const float* bias = nullptr;    // [cols / segments], or null: 0
};

// Rotary embedding of `dims` elements of each head, by a table made at load.
struct RopeParams {
  const float* cos_sin = nullptr;  // [positions_max, dims / 2, 2]: cosine and sine of each pair
  int dims = 0;                    // rotated elements of a head; even
  bool interleaved = false;        // pairs (2i, 2i+1) (DeepSeek, Llama 4); else (i, i + dims/2)
  int heads = 1;
  int head_stride = 0;  // elements from one head to the next within a row
  int offset = 0;       // of the rotated part within a head
};

// What is normalised by itself in q and k.
enum class QkvNorm {
  kNone,
  kHead,       // each head, before the rotation
  kHeadAfter,  // each head, after it
  kWhole,      // all heads of q together, and of k, before the rotation
  kCount,
};

// From the projection [q | k | v] to attention.
struct QkvParams {
  int n_heads = 0, n_kv_heads = 0, head_dim = 0;
  QkvNorm norm = QkvNorm::kNone;
  float eps = 1e-6f;
  const float *q_norm = nullptr, *k_norm = nullptr;  // weights, or null: 1
  RopeParams rope;                                   // cos_sin null: no rotation; heads and head_stride are not read
  const float* factors = nullptr;                    // [n]: of each row of q, or null
};

// MLA (DeepSeek-V2, arXiv:2405.04434), from the projections to attention in the latent space. A head of q has nope_dim
// + rope.dims elements. k has kv_lora latent elements, then one rotated key.
struct LatentParams {
  int n_heads = 0, nope_dim = 0, kv_lora = 0;
  float eps = 1e-6f;
  const float* kv_norm = nullptr;  // [kv_lora]: of the latent elements
  RopeParams rope;                 // heads, head_stride and offset are not read
};

// Gated delta net (arXiv:2412.06464). Value head h uses key head h / (value_heads / key_heads).
struct DeltaNetShape {
  int key_heads = 0, value_heads = 0;
  int key_dim = 0, value_dim = 0;  // of a head
  int conv_kernel = 0;             // tokens that the causal convolution sees

  int values_per_key() const { return value_heads / key_heads; }
  int64_t value_width() const { return static_cast<int64_t>(value_heads) * value_dim; }
  int64_t conv_width() const { return 2 * static_cast<int64_t>(key_heads) * key_dim + value_width(); }  // q, k, v
  // A sequence's state in f32: the convolution's last inputs [conv_kernel - 1][conv_width]. Then, for each value head,
  // a matrix [key_dim][value_dim].
  int64_t conv_elements() const { return (conv_kernel - 1) * conv_width(); }
  int64_t state_elements() const { return conv_elements() + value_width() * key_dim; }
};

struct DeltaNetParams {
  DeltaNetShape shape;
  float eps = 1e-6f;
  const float* conv = nullptr;     // [conv_width, conv_kernel]; channels: all q, all k, all v
  const float* a_log = nullptr;    // [value_heads]: log of the decay rate
  const float* dt_bias = nullptr;  // [value_heads]
  const float* norm = nullptr;     // [value_dim]: RMS norm of each head's output
};

struct AttentionParams {
  int n_heads = 0;               // query heads; n_heads % n_kv_heads == 0
  float scale = 1;               // of the scores
  int window = 0;                // > 0: a query at p sees keys in (p - window, p]
  int chunk = 0;                 // > 0: a query at p sees keys of its own chunk: [p - p % chunk, p]
  const float* sinks = nullptr;  // [n_heads]: one more logit in the softmax, without a value (gpt-oss)
};

// Sampling from a row of logits, as in engine/sampling. Temperature comes first, then min_p, top_k and top_p. `uniform`
// then picks from the cumulative distribution, in order of the ids.
struct SampleParams {
  float temperature = 0;  // 0: the best, the lowest id among equals; what follows is then not looked at
  float min_p = 0;        // > 0: at least this share of the best one's probability
  int32_t top_k = 0;      // > 0: the k best
  float top_p = 1;        // < 1: the best ones that reach this mass together
  float uniform = 0;      // the random number in [0, 1)
};

enum class GluKind {
  kSilu,         // silu(gate) * up
  kSwigluClamp,  // gpt-oss: gate and up clamped, gate * sigmoid(alpha * gate) * (up + 1)
  kGelu,         // gelu(gate) * up (tanh approximation)
  kGeluErf,      // gelu(gate) * up, exact
  kCount,
};

struct GluParams {
  GluKind kind = GluKind::kSilu;
  float limit = 7.0f;    // kSwigluClamp: gate <= limit, |up| <= limit
  float alpha = 1.702f;  // kSwigluClamp
};

HOST_DEVICE inline float glu_value(const GluParams& params, float gate, float up) {
  switch (params.kind) {
    case GluKind::kSilu:
      return gate / (1.0f + expf(-gate)) * up;
    case GluKind::kSwigluClamp: {
      const float g = gate > params.limit ? params.limit : gate;
      const float above = up < -params.limit ? -params.limit : up, u = above > params.limit ? params.limit : above;
      return g / (1.0f + expf(-params.alpha * g)) * (u + 1.0f);
    }
    case GluKind::kGeluErf:
      return 0.5f * gate * (1.0f + erff(0.7071067811865476f * gate)) * up;
    default:
      return 0.5f * gate * (1.0f + tanhf(0.7978845608028654f * (gate + 0.044715f * gate * gate * gate))) * up;
  }
}

}  // namespace polymath::backend
