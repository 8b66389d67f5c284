// ERNIE-4.5-MoE: softmax routing chosen with a bias, rotation of neighbouring pairs.
// Source: config.json of baidu/ERNIE-4.5-21B-A3B-PT; transformers models/ernie4_5_moe.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.rope.interleaved = true;
  a.qkv_bias = a.out_bias = j.b("use_bias");
  if (a.qkv_bias) j.complain("use_bias", "biases in ERNIE's feed-forward are not built yet");
  set_attention(j, c, a);
  const int n_layers = static_cast<int>(c.layers.size());
  FfnConfig moe = routed_ffn("softmax_bias_topk", j.i("moe_num_experts"), j.i("moe_k"), j.i("moe_intermediate_size"));
  moe.selection_bias = true;
  moe.router.normalize = true;
  moe.router.normalize_min = static_cast<float>(j.f("moe_norm_min"));
  const int first = j.i("moe_layer_start_index"), interval = std::max(1, j.i("moe_layer_interval"));
  const int end = j.i("moe_layer_end_index"), last = end == -1 ? n_layers - 1 : end;
  const FfnConfig dense = dense_ffn(j.i("intermediate_size"));
  const int shared = shared_width(j, "moe_num_shared_experts", j.i("moe_num_shared_experts"), moe.intermediate);
  for (int l = 0; l < n_layers; ++l) {
    if (l < first || l > last || (l + 1) % interval != 0) {
      c.layers[l].ffns = {dense};
      continue;
    }
    c.layers[l].ffns = {moe};
    if (shared > 0) c.layers[l].ffns.push_back(shared_ffn(shared));
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string m = "model.layers.{l}.mlp.";
  rows.push_back({"layer.{l}.experts.router", {m + "gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {m + "moe_statics.e_score_correction_bias"}, Layout::kOneRow});
  rows.push_back(
      {"layer.{l}.experts.selection_bias", {m + "gate.moe_statics.e_score_correction_bias"}, Layout::kOneRow});
  add_ffn_rows(rows, "dense", "mlp");
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_experts");
  return rows;
}

}  // namespace

extern const Architecture kErnie45Moe{
    .names = {"Ernie4_5_MoeForCausalLM"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"ernie4_5_moe"},
             .defaults = R"({
    "vocab_size": 103424, "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 28,
    "num_attention_heads": 20, "num_key_value_heads": 4, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "use_bias": false, "moe_intermediate_size": 1536, "moe_k": 6,
    "moe_num_experts": 64, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_end_index": -1,
    "moe_layer_interval": 1, "moe_norm_min": 1e-12, "rope_theta": 500000})",
             .aliases = {{"num_experts", "moe_num_experts"}, {"num_experts_per_tok", "moe_k"}},
             .harmless = {"moe_capacity", "moe_use_aux_free", "num_nextn_predict_layers"},
             .fixed = R"({"moe_gate": "topk"})"}};

}  // namespace polymath::model
