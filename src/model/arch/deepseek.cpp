// DeepSeekMoE-16B (arXiv:2401.06066), DeepSeek-V2 (MLA, arXiv:2405.04434), DeepSeek-V3 (arXiv:2412.19437).
// Sources: config.json of deepseek-ai/deepseek-moe-16b-base, DeepSeek-V2-Lite and DeepSeek-V3.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

FfnConfig routed(base::JsonReader& j, std::string routing) {
  FfnConfig f =
      routed_ffn(std::move(routing), j.i("n_routed_experts"), j.i("num_experts_per_tok"), j.i("moe_intermediate_size"));
  f.router.normalize = j.b("norm_topk_prob", false);
  f.router.weight_scale = static_cast<float>(j.f("routed_scaling_factor", 1));
  if (f.routing != "softmax_topk") {  // which has no groups, whatever the config says
    f.router.n_groups = std::max(1, j.i("n_group", 1));
    f.router.top_groups = std::max(1, j.i("topk_group", 1));
  }
  return f;
}

// The first layers are dense; of the others, every moe_layer_freq-th is MoE.
void set_ffns(base::JsonReader& j, ModelConfig& c, const FfnConfig& experts) {
  const int first = j.i("first_k_dense_replace", 0), every = std::max(1, j.i("moe_layer_freq", 1));
  const int shared = j.i("n_shared_experts", 0) * experts.intermediate;
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    if (l < first || l % every != 0) {
      c.layers[l].ffns = {dense_ffn(j.i("intermediate_size"))};
      continue;
    }
    c.layers[l].ffns = {experts};
    if (shared > 0) c.layers[l].ffns.push_back(shared_ffn(shared));
  }
}

ModelConfig parse_v1(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attention(j, c, grouped_query_attention(j, c, 10000));
  set_ffns(j, c, routed(j, "softmax_topk"));
  return c;
}

ModelConfig parse_v2(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  const Latent latent = latent_attention(j);
  for (LayerConfig& layer : c.layers) layer.attention = latent;
  const std::string method = j.s("topk_method", "greedy");
  if (method != "greedy" && method != "group_limited_greedy")
    j.complain("topk_method", "\"" + method + "\" is not known");
  FfnConfig experts = routed(j, method == "greedy" ? "softmax_topk" : "softmax_group_topk");
  if (experts.router.normalize) experts.router.weight_scale = 1;  // one or the other
  set_ffns(j, c, experts);
  return c;
}

ModelConfig parse_v3(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  const Latent latent = latent_attention(j);
  for (LayerConfig& layer : c.layers) layer.attention = latent;
  FfnConfig experts = routed(j, "sigmoid_group_topk");
  experts.selection_bias = true;
  experts.router.normalize_eps = 1e-20f;
  set_ffns(j, c, experts);
  return c;
}

// GLM-4.5: V3's routing over grouped-query attention with a partial rotation.
// Source: config.json of zai-org/GLM-4.5-Air.
ModelConfig parse_glm4(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 10000);
  a.out_bias = false;  // attention_bias is of q, k and v alone
  a.qk_norm = j.b("use_qk_norm", false) ? QkNorm::kHead : QkNorm::kNone;
  double part = j.f("partial_rotary_factor", 0.5);
  if (j.has("rope_parameters")) part = j.object("rope_parameters").f("partial_rotary_factor", part);
  a.rope.dims = static_cast<int>(a.head_dim * part);
  set_attention(j, c, a);
  FfnConfig experts = routed(j, "sigmoid_group_topk");
  experts.selection_bias = true;
  experts.router.normalize_eps = 1e-20f;
  set_ffns(j, c, experts);
  return c;
}

std::vector<WeightRow> weights(const ModelConfig& c) {
  auto rows = llama_rows();
  if (std::holds_alternative<Latent>(c.layers[0].attention)) add_latent_rows(rows);
  rows.push_back({"layer.{l}.experts.router", {"model.layers.{l}.mlp.gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {"model.layers.{l}.mlp.gate.e_score_correction_bias"}});
  add_ffn_rows(rows, "dense", "mlp");
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_experts");
  return rows;
}

}  // namespace

extern const Architecture kDeepseek{{"DeepseekForCausalLM"}, parse_v1, weights};
extern const Architecture kDeepseekV2{{"DeepseekV2ForCausalLM"}, parse_v2, weights};
extern const Architecture kDeepseekV3{{"DeepseekV3ForCausalLM"}, parse_v3, weights};
extern const Architecture kGlm4Moe{{"Glm4MoeForCausalLM"}, parse_glm4, weights};

}  // namespace polymath::model
