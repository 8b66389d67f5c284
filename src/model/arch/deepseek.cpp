// DeepSeekMoE-16B (arXiv:2401.06066), DeepSeek-V2 (MLA, arXiv:2405.04434), DeepSeek-V3 (arXiv:2412.19437).
// Sources: config.json of deepseek-ai/deepseek-moe-16b-base, DeepSeek-V2-Lite and DeepSeek-V3. Kimi-K2 is DeepSeek-V3.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse_v1(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attention(j, c, grouped_query_attention(j, c));
  std::vector<bool> sparse = after_dense_layers(j, c);
  const int every = std::max(1, j.i("moe_layer_freq"));
  for (size_t l = 0; l < sparse.size(); ++l) sparse[l] = sparse[l] && static_cast<int>(l) % every == 0;
  set_ffns(j, c, deepseek_experts(j, "softmax_topk"), sparse);
  return c;
}

ModelConfig parse_v2(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  const Latent latent = latent_attention(j);
  for (LayerConfig& layer : c.layers) layer.attention = latent;
  const std::string method = j.s("topk_method");
  if (method != "greedy" && method != "group_limited_greedy")
    j.complain("topk_method", "\"" + method + "\" is not known");
  FfnConfig experts = deepseek_experts(j, method == "greedy" ? "softmax_topk" : "softmax_group_topk");
  // The first implementation divides instead of scaling, and transformers 5 does not divide.
  if (experts.router.normalize) j.complain("norm_topk_prob", "true is not built for this architecture");
  set_ffns(j, c, experts, after_dense_layers(j, c));
  return c;
}

ModelConfig parse_v3(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  const Latent latent = latent_attention(j);
  for (LayerConfig& layer : c.layers) layer.attention = latent;
  set_ffns(j, c, sigmoid_experts(j), after_dense_layers(j, c));
  return c;
}

// GLM-4.5: V3's routing over grouped-query attention with a partial rotation.
// Source: config.json of zai-org/GLM-4.5-Air.
ModelConfig parse_glm(base::JsonReader& j, QkNorm qk_norm) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, {.share = true});
  a.out_bias = false;  // attention_bias is of q, k and v alone
  a.qk_norm = qk_norm;
  set_attention(j, c, a);
  set_ffns(j, c, sigmoid_experts(j), after_dense_layers(j, c));
  return c;
}

ModelConfig parse_glm4(base::JsonReader& j) { return parse_glm(j, j.b("use_qk_norm") ? QkNorm::kHead : QkNorm::kNone); }
ModelConfig parse_glm4v(base::JsonReader& j) { return parse_glm(j, QkNorm::kNone); }

}  // namespace

extern const Architecture kDeepseek{.names = {"DeepseekForCausalLM"},
                                    .parse = parse_v1,
                                    .weights = deepseek_rows,
                                    .keys = {.model_types = {"deepseek"},
                                             .defaults = R"({
    "vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 30,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": false, "attention_bias": false, "moe_intermediate_size": 1407, "moe_layer_freq": 1,
    "first_k_dense_replace": 0, "norm_topk_prob": false, "routed_scaling_factor": 1, "rope_theta": 10000})",
                                             .fixed = R"({"scoring_func": "softmax", "topk_method": "greedy"})"}};
extern const Architecture kDeepseekV2{
    .names = {"DeepseekV2ForCausalLM"},
    .parse = parse_v2,
    .weights = deepseek_rows,
    .keys = {.model_types = {"deepseek_v2"},
             .defaults = R"({
    "vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": false, "attention_bias": false, "first_k_dense_replace": 0, "kv_lora_rank": 512,
    "q_lora_rank": 1536, "n_routed_experts": 64, "n_shared_experts": 2, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "routed_scaling_factor": 1, "topk_method": "greedy", "norm_topk_prob": false,
    "v_head_dim": 128, "moe_intermediate_size": 1407, "rope_theta": 10000})",
             .aliases = {{"num_experts", "n_routed_experts"}},
             .harmless = {"head_dim", "num_key_value_heads", "qk_head_dim", "n_group", "topk_group"},
             .fixed = R"({"scoring_func": "softmax", "moe_layer_freq": 1})"}};
extern const Architecture kDeepseekV3{
    .names = {"DeepseekV3ForCausalLM"},
    .parse = parse_v3,
    .weights = deepseek_rows,
    .keys = {.model_types = {"deepseek_v3", "kimi_k2"},
             .defaults = R"({
    "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "num_hidden_layers": 61, "num_attention_heads": 128, "n_shared_experts": 1, "n_routed_experts": 256,
    "routed_scaling_factor": 2.5, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "qk_nope_head_dim": 128, "n_group": 8, "topk_group": 4, "num_experts_per_tok": 8,
    "first_k_dense_replace": 3, "norm_topk_prob": true, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "rope_interleave": true, "attention_bias": false,
    "rope_theta": 10000})",
             .aliases = {{"num_local_experts", "n_routed_experts"}, {"num_mtp_layers", "num_nextn_predict_layers"}},
             .harmless = {"head_dim", "num_key_value_heads", "qk_head_dim", "num_nextn_predict_layers"},
             .fixed = R"({"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1})"}};
extern const Architecture kGlm4Moe{
    .names = {"Glm4MoeForCausalLM"},
    .parse = parse_glm4,
    .weights = deepseek_rows,
    .keys = {.model_types = {"glm4_moe"},
             .defaults = R"({
    "vocab_size": 151552, "hidden_size": 4096, "intermediate_size": 10944, "num_hidden_layers": 46,
    "num_attention_heads": 96, "num_key_value_heads": 8, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "attention_bias": false, "moe_intermediate_size": 1408,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "n_routed_experts": 128, "routed_scaling_factor": 1,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "norm_topk_prob": true, "use_qk_norm": false,
    "partial_rotary_factor": 0.5, "rope_theta": 10000})",
             .aliases = {{"num_local_experts", "n_routed_experts"}, {"num_mtp_layers", "num_nextn_predict_layers"}},
             .harmless = {"num_nextn_predict_layers"},
             .fixed = R"({"scoring_func": "sigmoid", "topk_method": "noaux_tc"})"}};
// The text part of GLM-4.5V.
extern const Architecture kGlm4vMoe{.names = {"Glm4vMoeForConditionalGeneration"},
                                    .parse = parse_glm4v,
                                    .weights = deepseek_rows,
                                    .keys = {.model_types = {"glm4v_moe", "glm4v_moe_text"},
                                             .defaults = R"({
    "vocab_size": 151424, "hidden_size": 4096, "intermediate_size": 10944, "num_hidden_layers": 46,
    "num_attention_heads": 96, "num_key_value_heads": 8, "max_position_embeddings": 65536, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "attention_bias": true, "moe_intermediate_size": 1408, "num_experts_per_tok": 8,
    "n_shared_experts": 1, "n_routed_experts": 128, "routed_scaling_factor": 1, "n_group": 1, "topk_group": 1,
    "first_k_dense_replace": 1, "norm_topk_prob": true, "partial_rotary_factor": 0.5,
    "rope_theta": 10000})",
                                             .aliases = {{"num_local_experts", "n_routed_experts"}},
                                             .harmless = {"num_nextn_predict_layers"},
                                             .fixed = R"({"scoring_func": "sigmoid", "topk_method": "noaux_tc",
                                                         "use_qk_norm": false})"}};

}  // namespace polymath::model
