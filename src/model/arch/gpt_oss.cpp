// gpt-oss: attention sinks, every other layer a sliding window, biases everywhere, clamped SwiGLU.
// Source: config.json of openai/gpt-oss-20b; transformers models/gpt_oss. Released experts are MXFP4, whose rows are
// outputs (weights/schemes/mxfp4.cpp).

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, {.by_layer_type = true});
  a.sinks = true;
  set_attention(j, c, a, {Windows::kEven});
  FfnConfig moe =
      routed_ffn("topk_softmax", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  moe.router_linear_bias = moe.expert_bias = true;
  moe.glu.kind = backend::GluKind::kSwigluClamp;
  moe.glu.alpha = static_cast<float>(j.f("swiglu_alpha"));
  moe.glu.limit = static_cast<float>(j.f("swiglu_limit"));
  for (auto& layer : c.layers) layer.ffns = {moe};
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string n = "model.layers.{l}.", m = n + "mlp.", e = m + "experts.";
  rows.push_back({"layer.{l}.sinks", {n + "self_attn.sinks"}});
  rows.push_back({"layer.{l}.experts.router", {m + "router.weight"}});
  rows.push_back({"layer.{l}.experts.router_bias", {m + "router.bias"}});
  rows.push_back({"layer.{l}.experts.gate_up", {e + "gate_up_proj"}, Layout::kStackedTPairs});
  rows.push_back({"layer.{l}.experts.gate_up", {e + "gate_up_proj_blocks"}, Layout::kStackedPairs});
  rows.push_back({"layer.{l}.experts.gate_up_bias", {e + "gate_up_proj_bias"}, Layout::kStackedPairs});
  rows.push_back({"layer.{l}.experts.down", {e + "down_proj"}, Layout::kStackedT});
  rows.push_back({"layer.{l}.experts.down", {e + "down_proj_blocks"}, Layout::kStacked});
  rows.push_back({"layer.{l}.experts.down_bias", {e + "down_proj_bias"}, Layout::kStacked});
  return rows;
}

}  // namespace

// Released configs name the activation's limit twice, and experts_per_token beside num_experts_per_tok.
extern const Architecture kGptOss{
    .names = {"GptOssForCausalLM"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"gpt_oss"},
             .defaults = R"({
    "num_hidden_layers": 36, "num_local_experts": 128, "vocab_size": 201088, "hidden_size": 2880,
    "intermediate_size": 2880, "head_dim": 64, "num_attention_heads": 64, "num_key_value_heads": 8,
    "sliding_window": 128, "tie_word_embeddings": false, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "num_experts_per_tok": 4, "swiglu_alpha": 1.702, "swiglu_limit": 7.0,
    "attention_bias": true, "rope_theta": 150000,
    "rope_parameters": {"rope_type": "yarn", "factor": 32, "beta_fast": 32, "beta_slow": 1, "truncate": false,
                        "original_max_position_embeddings": 4096}})",
             .aliases = {{"experts_per_token", "num_experts_per_tok"}, {"num_experts", "num_local_experts"}},
             .harmless = {"initial_context_length"},
             .fixed = R"({"hidden_act": "silu"})",
             .reads_hidden_act = false}};

}  // namespace polymath::model
