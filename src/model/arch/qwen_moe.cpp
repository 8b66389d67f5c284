// Qwen1.5-MoE and Qwen2-MoE (a gated shared expert), Qwen3-MoE, Qwen3-Omni, Mellum2 and OLMoE (none). Sources:
// config.json of Qwen/Qwen1.5-MoE-A2.7B, Qwen/Qwen3-30B-A3B, JetBrains/Mellum2-12B-A2.5B-Base and
// allenai/OLMoE-1B-7B-0924.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

FfnConfig routed(base::JsonReader& j, int intermediate) {
  FfnConfig f = routed_ffn("softmax_topk", j.i("num_experts"), j.i("num_experts_per_tok"), intermediate);
  f.router.normalize = j.b("norm_topk_prob");
  return f;
}

ModelConfig parse_qwen2_moe(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, {.by_layer_type = true});
  a.qkv_bias = j.b("qkv_bias");
  set_attention(j, c, a, {.layers = Windows::kEvenBelowMaxWindowLayers, .switched = true});
  FfnConfig shared = shared_ffn(j.i("shared_expert_intermediate_size"));
  shared.routing = "sigmoid_topk";  // one expert, weighted by the sigmoid of its gate
  set_sparse_layers(j, c, {routed(j, j.i("moe_intermediate_size")), shared});
  return c;
}

ModelConfig parse_qwen3(base::JsonReader& j, WindowRules windows) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.qk_norm = QkNorm::kHead;
  set_attention(j, c, a, windows);
  set_sparse_layers(j, c, {routed(j, j.i("moe_intermediate_size"))});
  return c;
}

ModelConfig parse_qwen3_moe(base::JsonReader& j) {
  return parse_qwen3(j, {.layers = Windows::kEvery, .switched = true});
}

// Qwen3-Omni's thinker: Qwen3-MoE without windows.
ModelConfig parse_qwen3_omni(base::JsonReader& j) { return parse_qwen3(j, {}); }

// Qwen3-VL's class has no windows. It divides by the sum of the chosen weights, whatever norm_topk_prob says.
ModelConfig parse_qwen3_vl_moe(base::JsonReader& j) {
  ModelConfig c = parse_qwen3(j, {});
  for (LayerConfig& layer : c.layers) {
    for (FfnConfig& ffn : layer.ffns) ffn.router.normalize = true;
  }
  return c;
}

ModelConfig parse_mellum(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, {.by_layer_type = true});
  a.qk_norm = QkNorm::kHead;
  set_attention(j, c, a, {Windows::kAsListed});
  const std::vector<bool> sparse = by_mlp_layer_types(j, c);
  const FfnConfig experts = routed(j, j.i("moe_intermediate_size")), dense = dense_ffn(j.i("intermediate_size"));
  for (size_t l = 0; l < sparse.size(); ++l) c.layers[l].ffns = {sparse[l] ? experts : dense};
  return c;
}

ModelConfig parse_olmoe(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c);
  a.qk_norm = QkNorm::kFull;
  a.clip_qkv = static_cast<float>(j.f("clip_qkv", 0));
  if (a.clip_qkv > 0) j.complain("clip_qkv", "clipping after the norm of q and k is not built yet");
  set_attention(j, c, a);
  for (auto& layer : c.layers) layer.ffns = {routed(j, j.i("intermediate_size"))};
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

extern const Architecture kQwen2Moe{.names = {"Qwen2MoeForCausalLM"},
                                    .parse = parse_qwen2_moe,
                                    .weights = weights,
                                    .keys = {.model_types = {"qwen2_moe"},
                                             .defaults = R"({
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096,
    "max_window_layers": 28, "decoder_sparse_step": 1, "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4, "num_experts": 60, "norm_topk_prob": false,
    "qkv_bias": true, "rope_theta": 10000})",
                                             .aliases = {{"num_local_experts", "num_experts"}}}};
extern const Architecture kQwen3Moe{.names = {"Qwen3MoeForCausalLM"},
                                    .parse = parse_qwen3_moe,
                                    .weights = weights,
                                    .keys = {.model_types = {"qwen3_moe"},
                                             .defaults = R"({
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false, "use_sliding_window": false,
    "sliding_window": 4096, "decoder_sparse_step": 1, "moe_intermediate_size": 768, "num_experts_per_tok": 8,
    "num_experts": 128, "norm_topk_prob": false, "rope_theta": 10000})",
                                             .aliases = {{"num_local_experts", "num_experts"}}}};
// The text part of Qwen3-VL-MoE.
extern const Architecture kQwen3VlMoe{.names = {"Qwen3VLMoeForConditionalGeneration"},
                                      .parse = parse_qwen3_vl_moe,
                                      .weights = weights,
                                      .keys = {.model_types = {"qwen3_vl_moe", "qwen3_vl_moe_text"},
                                               .defaults = R"({
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false,
    "decoder_sparse_step": 1, "moe_intermediate_size": 1408, "num_experts_per_tok": 4, "num_experts": 60,
    "norm_topk_prob": true, "rope_theta": 500000})",
                                               .aliases = {{"num_local_experts", "num_experts"}}}};
// The text part of Qwen3-Omni's thinker.
extern const Architecture kQwen3OmniMoe{
    .names = {"Qwen3OmniMoeForConditionalGeneration", "Qwen3OmniMoeThinkerForConditionalGeneration"},
    .parse = parse_qwen3_omni,
    .weights = weights,
    .keys = {.model_types = {"qwen3_omni_moe", "qwen3_omni_moe_thinker", "qwen3_omni_moe_text"},
             .defaults = R"({
    "vocab_size": 3584, "hidden_size": 2048, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": false, "attention_bias": false, "decoder_sparse_step": 1, "moe_intermediate_size": 768,
    "num_experts_per_tok": 8, "num_experts": 128, "norm_topk_prob": true, "rope_theta": 1000000})",
             .aliases = {{"num_local_experts", "num_experts"}},
             .harmless = {"rope_scaling.interleaved", "rope_parameters.interleaved"}}};
extern const Architecture kMellum{
    .names = {"MellumForCausalLM"},
    .parse = parse_mellum,
    .weights = weights,
    .keys = {.model_types = {"mellum"},
             .defaults = R"({
    "vocab_size": 98304, "hidden_size": 2304, "intermediate_size": 7168, "num_hidden_layers": 28,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false, "sliding_window": 1024,
    "first_k_dense_replace": 0, "moe_intermediate_size": 896, "num_experts_per_tok": 8, "num_experts": 64,
    "norm_topk_prob": true, "rope_theta": 10000,
    "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 500000},
                        "sliding_attention": {"rope_type": "default", "rope_theta": 10000}}})",
             .aliases = {{"num_local_experts", "num_experts"}},
             .harmless = {"num_mtp_layers", "num_nextn_predict_layers", "mtp_layer_types", "mtp_mlp_layer_types"}}};
extern const Architecture kOlmoe{.names = {"OlmoeForCausalLM"},
                                 .parse = parse_olmoe,
                                 .weights = weights,
                                 .keys = {.model_types = {"olmoe"},
                                          .defaults = R"({
    "vocab_size": 50304, "hidden_size": 2048, "intermediate_size": 2048, "num_hidden_layers": 16,
    "num_attention_heads": 16, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "attention_bias": false, "num_experts_per_tok": 8, "num_experts": 64,
    "norm_topk_prob": false, "rope_theta": 10000})",
                                          .aliases = {{"num_local_experts", "num_experts"}}}};

}  // namespace polymath::model
