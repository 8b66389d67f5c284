// Qwen1.5-MoE and Qwen2-MoE (a gated shared expert), Qwen3-MoE and OLMoE (none).
// Sources: config.json of Qwen/Qwen1.5-MoE-A2.7B, Qwen/Qwen3-30B-A3B, allenai/OLMoE-1B-7B-0924.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

int n_experts(base::JsonReader& j) { return j.has("num_experts") ? j.i("num_experts") : j.i("num_local_experts"); }

FfnConfig routed(base::JsonReader& j, bool normalize, int intermediate) {
  FfnConfig f = routed_ffn("softmax_topk", n_experts(j), j.i("num_experts_per_tok"), intermediate);
  f.router.normalize = j.b("norm_topk_prob", normalize);
  return f;
}

ModelConfig parse_qwen2_moe(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 10000);
  a.qkv_bias = j.b("qkv_bias", true);
  set_attention(j, c, a);
  FfnConfig shared = shared_ffn(j.i("shared_expert_intermediate_size"));
  shared.routing = "sigmoid_topk";  // one expert, weighted by the sigmoid of its gate
  set_sparse_layers(j, c, {routed(j, false, j.i("moe_intermediate_size")), shared});
  return c;
}

ModelConfig parse_qwen3_moe(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 10000);
  a.qk_norm = QkNorm::kHead;
  set_attention(j, c, a);
  set_sparse_layers(j, c, {routed(j, false, j.i("moe_intermediate_size"))});
  return c;
}

ModelConfig parse_olmoe(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 10000);
  a.qk_norm = QkNorm::kFull;
  a.clip_qkv = static_cast<float>(j.f("clip_qkv", 0));
  if (a.clip_qkv > 0) j.complain("clip_qkv", "clipping after the norm of q and k is not built yet");
  set_attention(j, c, a);
  for (auto& layer : c.layers) layer.ffns = {routed(j, false, j.i("intermediate_size"))};
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  rows.push_back({"layer.{l}.experts.router", {"model.layers.{l}.mlp.gate.weight"}});
  rows.push_back({"layer.{l}.shared.router", {"model.layers.{l}.mlp.shared_expert_gate.weight"}});
  add_ffn_rows(rows, "dense", "mlp");
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_expert");
  return rows;
}

}  // namespace

extern const Architecture kQwen2Moe{{"Qwen2MoeForCausalLM"}, parse_qwen2_moe, weights};
extern const Architecture kQwen3Moe{{"Qwen3MoeForCausalLM"}, parse_qwen3_moe, weights};
extern const Architecture kOlmoe{{"OlmoeForCausalLM"}, parse_olmoe, weights};

}  // namespace polymath::model
