// Mixtral (arXiv:2401.04088) and Phi-3.5-MoE (LayerNorm, biases, sparsemixer).
// Sources: config.json of mistralai/Mixtral-8x7B-v0.1 and microsoft/Phi-3.5-MoE-instruct.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse_mixtral(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attention(j, c, grouped_query_attention(j, c), {Windows::kEvery});
  FfnConfig moe =
      routed_ffn("softmax_topk", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  moe.router.normalize = true;
  for (auto& layer : c.layers) layer.ffns = {moe};
  return c;
}

ModelConfig parse_phimoe(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  c.layer_norm = c.norm_bias = true;
  c.lm_head_bias = j.b("lm_head_bias");
  set_attention(j, c, grouped_query_attention(j, c), {Windows::kEvery});
  FfnConfig moe =
      routed_ffn("sparsemixer", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  moe.router.jitter_eps = static_cast<float>(j.f("router_jitter_noise"));
  if (moe.router.top_k != 2) j.complain("num_experts_per_tok", "sparsemixer chooses two experts");
  for (auto& layer : c.layers) layer.ffns = {moe};
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string m = "model.layers.{l}.block_sparse_moe.", e = m + "experts.{e}.";
  rows.push_back({"layer.{l}.experts.router", {m + "gate.weight"}});
  rows.push_back({"layer.{l}.experts.gate_up", {e + "w1.weight", e + "w3.weight"}});
  rows.push_back({"layer.{l}.experts.down", {e + "w2.weight"}});
  // transformers 5's names; the second router is Phi's.
  rows.push_back({"layer.{l}.experts.router", {"model.layers.{l}.mlp.gate.weight"}});
  rows.push_back({"layer.{l}.experts.router", {"model.layers.{l}.mlp.router.weight"}});
  add_stacked_rows(rows, "mlp.experts");
  return rows;
}

}  // namespace

extern const Architecture kMixtral{.names = {"MixtralForCausalLM"},
                                   .parse = parse_mixtral,
                                   .weights = weights,
                                   .keys = {.model_types = {"mixtral"},
                                            .defaults = R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "num_experts_per_tok": 2, "num_local_experts": 8,
    "rope_theta": 1e6})",
                                            .aliases = {{"num_experts", "num_local_experts"}}}};
extern const Architecture kPhiMoe{.names = {"PhimoeForCausalLM", "PhiMoEForCausalLM"},
                                  .parse = parse_phimoe,
                                  .weights = weights,
                                  .keys = {.model_types = {"phimoe"},
                                           .defaults = R"({
    "vocab_size": 32064, "hidden_size": 4096, "intermediate_size": 6400, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "num_experts_per_tok": 2, "num_local_experts": 16,
    "router_jitter_noise": 0.01, "attention_bias": false, "lm_head_bias": false, "rope_theta": 1e6})",
                                           .harmless = {"input_jitter_noise"}}};

}  // namespace polymath::model
