// Mistral Small 4 and Large 3: latent attention whose queries are scaled by position, over softmax-routed experts.
// Source: config.json of mistralai/Mistral-Small-4-119B-2603; transformers models/mistral4.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

// The class counts the rotated elements as a share of the whole head.
RopeConfig mistral_rope(base::JsonReader& j, const Latent& a) {
  const int whole = a.nope_dim + a.rope.dims;
  RopeConfig rope = parse_rope(j, whole, {.share = true});
  if (rope.dims == whole) rope.dims = a.rope.dims;  // absent
  if (rope.dims != a.rope.dims) j.complain("qk_rope_head_dim", "differs from partial_rotary_factor");
  return rope;
}

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  Latent a = latent_attention(j, mistral_rope);
  a.temperature = parse_temperature(j, a.rope);
  for (LayerConfig& layer : c.layers) layer.attention = a;
  if (j.i("n_group", 1) > 1) j.complain("n_group", "groups of experts are not built for this architecture yet");
  j.find("topk_group");  // of one group, without effect
  FfnConfig experts = deepseek_experts(j, "softmax_topk");
  experts.router.normalize_eps = 1e-20f;
  set_ffns(j, c, experts, after_dense_layers(j, c));
  return c;
}

}  // namespace

extern const Architecture kMistral4{
    .names = {"Mistral4ForCausalLM"},
    .parse = parse,
    .weights = deepseek_rows,
    .keys = {.model_types = {"mistral4"},
             .defaults = R"({
    "vocab_size": 131072, "hidden_size": 4096, "intermediate_size": 12288, "moe_intermediate_size": 2048,
    "num_hidden_layers": 36, "num_attention_heads": 32, "n_shared_experts": 1, "n_routed_experts": 128,
    "routed_scaling_factor": 1, "kv_lora_rank": 256, "q_lora_rank": 1024, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "qk_nope_head_dim": 64, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 4,
    "first_k_dense_replace": 0, "norm_topk_prob": true, "max_position_embeddings": 1048576, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": false, "rope_interleave": true, "attention_bias": false, "rope_theta": 10000,
    "rope_parameters": {"type": "yarn", "rope_theta": 10000, "factor": 128,
                        "original_max_position_embeddings": 8192, "beta_fast": 32, "beta_slow": 1,
                        "mscale_all_dim": 1, "mscale": 1, "llama_4_scaling_beta": 0.1}})",
             .aliases = {{"num_local_experts", "n_routed_experts"}},
             .harmless = {"head_dim", "num_key_value_heads", "qk_head_dim", "rope_parameters.max_position_embeddings",
                          "rope_scaling.max_position_embeddings"}}};

}  // namespace polymath::model
