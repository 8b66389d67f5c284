#pragma once

// What a model is, as data: hyper-parameters layer by layer. Made by an architecture's `parse` from config.json.

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace polymath::model {

enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn, kLongRope, kCount };

struct RopeConfig {
  double theta = 10000;
  int dims = 0;  // rotated numbers of a head; 0: no positions at all (NoPE)
  bool interleaved = false;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  int original_len = 0;                              // "original_max_position_embeddings"
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn, DeepSeek
  double attention_factor = 0;                       // yarn, longrope; 0: the formula's
  bool truncate = true;                              // yarn: whole-numbered correction range
  double short_mscale = 0, long_mscale = 0;          // longrope, Phi-MoE
  std::vector<double> short_factor, long_factor;     // longrope, [dims / 2]
  bool operator==(const RopeConfig&) const = default;
};

enum class QkNorm {
  kNone,
  kHead,       // RMS norm of each head before the rotation (Qwen3)
  kHeadAfter,  // RMS norm of each head after the rotation (Hunyuan)
  kFull,       // RMS norm of the whole projection before the rotation (OLMoE)
  kL2After,    // weightless RMS norm of each head after the rotation, on rotated layers (Llama 4)
  kCount,
};

// Grouped-query attention; MLA when kv_lora > 0.
struct AttentionConfig {
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
  RopeConfig rope;
  // Llama 4's NoPE layers: q *= 1 + scale * log(1 + floor((position + 1) / floor)); floor 0: off.
  float temperature_floor = 0, temperature_scale = 0;
  // MLA (DeepSeek-V2, arXiv:2405.04434): head_dim = nope + rope.dims.
  int q_lora = 0;  // 0: q is projected directly
  int kv_lora = 0;
  int nope_dim = 0;
  int value_dim = 0;  // of MLA; else head_dim
};

// One gated feed-forward block: routed experts, a shared expert, or a dense layer (one expert, no router).
struct FfnConfig {
  std::string role;                 // "experts", "shared" or "dense": the name of its slots
  routing::RouterConfig router;     // n_experts 1 and no routing: dense
  std::string routing;              // a name of routing/list; empty: every token visits expert 0 with weight 1
  bool router_linear_bias = false;  // added to the logits
  bool selection_bias = false;      // moves the choice only
  int intermediate = 0;
  backend::GluParams glu;
  bool expert_bias = false;
  bool weight_on_input = false;
  float capacity_factor = 0;  // > 0: an expert's tokens of a step are bounded (routing/batch.h); expert_choice needs it
  int slots = 0;              // of an expert, under soft_moe
};

struct LayerConfig {
  AttentionConfig attention;
  std::vector<FfnConfig> ffns;  // their outputs are added
};

struct ModelConfig {
  std::string architecture;  // "MixtralForCausalLM"
  int hidden = 0;
  int vocab = 0;
  int positions_max = 0;    // "max_position_embeddings"; --max-model-len may not exceed it
  bool layer_norm = false;  // LayerNorm instead of RMSNorm
  bool norm_bias = false;
  float norm_eps = 1e-6f;
  bool tied_embeddings = false;
  bool lm_head_bias = false;
  float embedding_scale = 1;
  float residual_scale = 1;
  float logit_scale = 1;                       // logits are multiplied by it
  tensor::DType dtype = tensor::DType::kBf16;  // as the checkpoint says
  std::vector<LayerConfig> layers;
  std::vector<int> eos_ids;  // config.json and generation_config.json together
  int bos_id = -1;           // -1: none
};

}  // namespace polymath::model
