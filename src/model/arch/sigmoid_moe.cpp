// DeepSeek-V3's experts in other decoders: GLM-4.7-Flash, Solar-Open, dots.llm1, Hy3 and K-EXAONE.
// Sources: config.json of zai-org/GLM-4.7-Flash, upstage/Solar-Open-100B, rednote-hilab/dots.llm1.inst,
// tencent/Hy3-preview and LGAI-EXAONE/K-EXAONE-236B-A23B; transformers 5.24.

#include "absl/strings/str_cat.h"
#include "model/arch/shared.h"

namespace polymath::model {
namespace {

// DeepSeek-V3 with mlp_layer_types.
ModelConfig parse_glm4_lite(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  const Latent latent = latent_attention(j);
  for (LayerConfig& layer : c.layers) layer.attention = latent;
  set_ffns(j, c, sigmoid_experts(j), by_mlp_layer_types(j, c));
  return c;
}

// GLM-4.5 without dense layers, rotating whole heads.
ModelConfig parse_solar(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.out_bias = false;  // attention_bias is of q, k and v alone
  set_attention(j, c, a);
  set_ffns(j, c, sigmoid_experts(j), std::vector<bool>(c.layers.size(), true));
  return c;
}

ModelConfig parse_dots1(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.qk_norm = QkNorm::kHead;
  set_attention(j, c, a, {Windows::kFromMaxWindowLayers});
  set_ffns(j, c, sigmoid_experts(j), after_dense_layers(j, c));
  return c;
}

ModelConfig parse_hy_v3(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.qk_norm = QkNorm::kHead;
  set_attention(j, c, a);
  FfnConfig experts = sigmoid_experts(j);
  experts.router.normalize = true;  // whatever norm_topk_prob says
  set_ffns(j, c, experts, by_mlp_layer_types(j, c));
  return c;
}

std::vector<WeightRow> hy_v3_rows(const ModelConfig& c) {
  auto rows = deepseek_rows(c);
  const std::string m = "model.layers.{l}.mlp.";
  rows.push_back({"layer.{l}.experts.router", {m + "router.gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {m + "expert_bias"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {m + "e_score_correction_bias"}});
  add_ffn_rows(rows, "shared", "mlp.shared_mlp");
  return rows;
}

// "LLLG", or 4: three layers with a window, one without.
std::vector<std::string> exaone_pattern(base::JsonReader& j, const ModelConfig& c) {
  if (j.has("layer_types")) {
    j.find("sliding_window_pattern");
    return {};
  }
  const int every = j.i("sliding_window_pattern");
  std::vector<std::string> types;
  for (int l = 1; l <= static_cast<int>(c.layers.size()); ++l) {
    types.emplace_back(every > 0 && l % every != 0 ? "sliding_attention" : "full_attention");
  }
  return types;
}

// Layers without a window have no positions, unless the model has no windows at all.
ModelConfig parse_exaone(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.qk_norm = QkNorm::kHead;
  const auto pattern = exaone_pattern(j, c);
  if (j.is_null("sliding_window") && j.has("layer_types")) {
    set_attention(j, c, a);
  } else {
    set_rotated_windows(j, c, a, pattern);
  }
  set_ffns(j, c, sigmoid_experts(j), by_mlp_layer_types(j, c));
  return c;
}

std::vector<WeightRow> exaone_rows(const ModelConfig& c) {
  auto rows = deepseek_rows(c);
  rows.push_back({"layer.{l}.experts.selection_bias", {"model.layers.{l}.mlp.e_score_correction_bias"}});
  return rows;
}

}  // namespace

extern const Architecture kGlm4MoeLite{
    .names = {"Glm4MoeLiteForCausalLM"},
    .parse = parse_glm4_lite,
    .weights = deepseek_rows,
    .keys = {.model_types = {"glm4_moe_lite"},
             .defaults = R"({
    "vocab_size": 154880, "hidden_size": 2048, "intermediate_size": 10240, "moe_intermediate_size": 1536,
    "num_hidden_layers": 47, "num_attention_heads": 20, "n_shared_experts": 1, "n_routed_experts": 64,
    "routed_scaling_factor": 1.8, "kv_lora_rank": 512, "q_lora_rank": 768, "qk_rope_head_dim": 64,
    "v_head_dim": 256, "qk_nope_head_dim": 192, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 4,
    "first_k_dense_replace": 1, "norm_topk_prob": true, "max_position_embeddings": 202752, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "rope_interleave": true, "attention_bias": false, "rope_theta": 10000})",
             .aliases = {{"num_local_experts", "n_routed_experts"},
                         {"num_mtp_layers", "num_nextn_predict_layers"},
                         {"head_dim", "qk_rope_head_dim"}},
             .harmless = {"num_key_value_heads", "qk_head_dim", "num_nextn_predict_layers"},
             .fixed = R"({"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1})"}};
extern const Architecture kSolarOpen{
    .names = {"SolarOpenForCausalLM"},
    .parse = parse_solar,
    .weights = deepseek_rows,
    .keys = {.model_types = {"solar_open"},
             .defaults = R"({
    "vocab_size": 196608, "hidden_size": 4096, "num_hidden_layers": 48, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "attention_bias": false, "intermediate_size": 1, "moe_intermediate_size": 1280,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "n_routed_experts": 128, "routed_scaling_factor": 1,
    "n_group": 1, "topk_group": 1, "norm_topk_prob": true, "rope_theta": 1000000})",
             .aliases = {{"num_local_experts", "n_routed_experts"}, {"num_mtp_layers", "num_nextn_predict_layers"}},
             .harmless = {"num_nextn_predict_layers"},
             .fixed = R"({"scoring_func": "sigmoid", "topk_method": "noaux_tc", "first_k_dense_replace": 0,
                          "use_qk_norm": false})"}};
extern const Architecture kDots1{
    .names = {"Dots1ForCausalLM"},
    .parse = parse_dots1,
    .weights = deepseek_rows,
    .keys = {.model_types = {"dots1"},
             .defaults = R"({
    "vocab_size": 152064, "hidden_size": 4608, "intermediate_size": 10944, "moe_intermediate_size": 1408,
    "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 32,
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 0, "norm_topk_prob": false, "routed_scaling_factor": 1,
    "sliding_window": 4096, "max_window_layers": 62, "rope_theta": 10000})",
             .aliases = {{"num_local_experts", "n_routed_experts"}},
             .harmless = {"num_nextn_predict_layers"},
             .fixed = R"({"scoring_func": "noaux_tc", "topk_method": "noaux_tc", "moe_layer_freq": 1})"}};
extern const Architecture kHyV3{
    .names = {"HYV3ForCausalLM"},
    .parse = parse_hy_v3,
    .weights = hy_v3_rows,
    .keys = {.model_types = {"hy_v3"},
             .defaults = R"({
    "vocab_size": 120832, "hidden_size": 4096, "intermediate_size": 13312, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "attention_bias": false, "n_routed_experts": 192,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 1536,
    "routed_scaling_factor": 2.826, "n_group": 1, "topk_group": 1, "norm_topk_prob": true,
    "first_k_dense_replace": 1, "rope_theta": 11158840})",
             .aliases = {{"num_experts", "n_routed_experts"},
                         {"num_local_experts", "n_routed_experts"},
                         {"num_shared_experts", "n_shared_experts"},
                         {"router_scaling_factor", "routed_scaling_factor"}},
             .harmless = {"enable_moe_fp32_combine", "enable_attention_fp32_softmax", "enable_lm_head_fp32",
                          "expert_hidden_dim", "num_nextn_predict_layers", "use_grouped_mm"},
             .fixed = R"({"route_norm": true, "qk_norm": true, "moe_router_use_sigmoid": true,
                          "moe_router_enable_expert_bias": true})"}};
extern const Architecture kExaoneMoe{.names = {"ExaoneMoeForCausalLM", "ExaoneMoEForCausalLM"},
                                     .parse = parse_exaone,
                                     .weights = exaone_rows,
                                     .keys = {.model_types = {"exaone_moe"},
                                              .defaults = R"({
    "vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 16384, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "sliding_window": 4096, "sliding_window_pattern": 4,
    "first_k_dense_replace": 1, "moe_intermediate_size": 1024, "n_routed_experts": 64, "num_experts_per_tok": 8,
    "n_shared_experts": 1, "norm_topk_prob": true, "routed_scaling_factor": 2.5, "n_group": 1, "topk_group": 1,
    "rope_theta": 10000})",
                                              .aliases = {{"num_experts", "n_routed_experts"},
                                                          {"num_shared_experts", "n_shared_experts"},
                                                          {"first_last_k_dense_replace", "first_k_dense_replace"}},
                                              .harmless = {"is_moe_layer", "num_nextn_predict_layers"},
                                              .fixed = R"({"scoring_func": "sigmoid", "topk_method": "noaux_tc"})"}};

}  // namespace polymath::model
