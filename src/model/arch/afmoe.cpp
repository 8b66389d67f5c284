// AFMoE (Trinity): norms before and after attention and feed-forward, and a gate on the attention's output. Layers
// without a window have no positions. Source: config.json of arcee-ai/Trinity-Mini; transformers models/afmoe.

#include <algorithm>
#include <cmath>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  c.post_norms = true;
  if (j.b("mup_enabled")) c.embedding_scale = std::sqrt(static_cast<float>(c.hidden));
  GroupedQuery a = grouped_query_attention(j, c);
  a.qk_norm = QkNorm::kHead;
  a.output_gate = layers::OutputGate::kApart;
  const int every = std::max(1, j.i("global_attn_every_n_layers"));
  std::vector<std::string> types;
  for (int l = 1; l <= static_cast<int>(c.layers.size()); ++l) {
    types.emplace_back(l % every == 0 ? "full_attention" : "sliding_attention");
  }
  set_rotated_windows(j, c, a, types);
  FfnConfig experts = sigmoid_experts(j);
  experts.router.normalize = true;  // whatever norm_topk_prob says
  set_ffns(j, c, experts, after_dense_layers(j, c));
  return c;
}

std::vector<WeightRow> weights(const ModelConfig& c) {
  auto rows = deepseek_rows(c);
  const std::string n = "model.layers.{l}.";
  rename_row(rows, "layer.{l}.ffn_norm", {n + "pre_mlp_layernorm.weight"});
  rows.push_back({"layer.{l}.attn_post_norm", {n + "post_attention_layernorm.weight"}});
  rows.push_back({"layer.{l}.ffn_post_norm", {n + "post_mlp_layernorm.weight"}});
  rows.push_back({"layer.{l}.attn_gate", {n + "self_attn.gate_proj.weight"}});
  rename_row(rows, "layer.{l}.experts.router", {n + "mlp.router.gate.weight"});
  rename_row(rows, "layer.{l}.experts.selection_bias", {n + "mlp.expert_bias"});
  return rows;
}

}  // namespace

extern const Architecture kAfmoe{
    .names = {"AfmoeForCausalLM"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"afmoe"},
             .defaults = R"({
    "vocab_size": 200192, "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 1408,
    "num_hidden_layers": 32, "first_k_dense_replace": 1, "num_attention_heads": 16, "head_dim": 128,
    "max_position_embeddings": 16384, "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "n_routed_experts": 64,
    "num_experts_per_tok": 6, "n_shared_experts": 2, "routed_scaling_factor": 1, "norm_topk_prob": true,
    "n_group": 1, "topk_group": 1, "global_attn_every_n_layers": 4, "sliding_window": 1024, "mup_enabled": false,
    "attention_bias": false, "rope_theta": 10000})",
             .aliases = {{"num_experts", "n_routed_experts"},
                         {"num_dense_layers", "first_k_dense_replace"},
                         {"num_shared_experts", "n_shared_experts"},
                         {"route_scale", "routed_scaling_factor"}},
             .harmless = {"load_balance_coeff", "use_grouped_mm"},
             .fixed = R"({"num_expert_groups": 1, "num_limited_groups": 1, "route_norm": true,
                          "score_func": "sigmoid"})"}};

}  // namespace polymath::model
