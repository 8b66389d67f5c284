// Hunyuan-A13B: norms of each head after the rotation, a shared expert in every layer.
// Source: config.json of tencent/Hunyuan-A13B-Instruct; transformers models/hunyuan_v1_moe.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 10000);
  a.qk_norm = j.b("use_qk_norm", true) ? QkNorm::kHeadAfter : QkNorm::kNone;
  set_attention(j, c, a);
  const int n_layers = static_cast<int>(c.layers.size());
  const auto top_k = per_layer(j, "moe_topk", n_layers, 1);
  const auto intermediate = per_layer(j, "moe_intermediate_size", n_layers, j.i("intermediate_size"));
  const auto shared = per_layer(j, "num_shared_expert", n_layers, 1);
  for (int l = 0; l < n_layers; ++l) {
    FfnConfig moe = routed_ffn("softmax_topk", j.i("num_experts"), top_k[l], intermediate[l]);
    moe.router.normalize = j.b("norm_topk_prob", true);
    c.layers[l].ffns = {moe};
    if (shared[l] > 0) c.layers[l].ffns.push_back(shared_ffn(j.i("intermediate_size") * shared[l]));
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string n = "model.layers.{l}.";
  for (auto& row : rows) {
    if (row.slot == "layer.{l}.q_norm") row.names = {n + "self_attn.query_layernorm.weight"};
    if (row.slot == "layer.{l}.k_norm") row.names = {n + "self_attn.key_layernorm.weight"};
  }
  rows.push_back({"layer.{l}.experts.router", {n + "mlp.gate.wg.weight"}});
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_mlp");
  return rows;
}

}  // namespace

extern const Architecture kHunyuanMoe{{"HunYuanMoEV1ForCausalLM"}, parse, weights};

}  // namespace polymath::model
