// Granite-MoE, and with a shared expert: four multipliers, stacked experts, tied embeddings.
// Source: config.json of ibm-granite/granite-3.1-1b-a400m-base; transformers models/granitemoe(shared).

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  c.embedding_scale = static_cast<float>(j.f("embedding_multiplier"));
  c.residual_scale = static_cast<float>(j.f("residual_multiplier"));
  const double logits_scaling = j.f("logits_scaling");
  if (!(logits_scaling > 0)) j.complain("logits_scaling", "must be positive");
  c.logit_scale = static_cast<float>(1 / logits_scaling);
  GroupedQuery a = grouped_query_attention(j, c);
  a.scale = static_cast<float>(j.f("attention_multiplier"));
  set_attention(j, c, a);
  const FfnConfig moe =
      routed_ffn("topk_softmax", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  for (auto& layer : c.layers) {
    layer.ffns = {moe};
    if (const int shared = j.i("shared_intermediate_size", 0); shared > 0) layer.ffns.push_back(shared_ffn(shared));
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string n = "model.layers.{l}.", m = n + "block_sparse_moe.", s = n + "shared_mlp.";
  rows.push_back({"layer.{l}.experts.router", {m + "router.layer.weight"}});
  rows.push_back({"layer.{l}.experts.gate_up", {m + "input_linear.weight"}, Layout::kStacked});
  rows.push_back({"layer.{l}.experts.down", {m + "output_linear.weight"}, Layout::kStacked});
  rows.push_back({"layer.{l}.experts.router", {m + "router.weight"}});
  add_stacked_rows(rows, "block_sparse_moe.experts");
  rows.push_back({"layer.{l}.shared.gate_up", {s + "input_linear.weight"}});
  rows.push_back({"layer.{l}.shared.down", {s + "output_linear.weight"}});
  return rows;
}

}  // namespace

constexpr std::string_view kDefaults = R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": false, "attention_bias": false, "embedding_multiplier": 1, "logits_scaling": 1,
    "residual_multiplier": 1, "attention_multiplier": 1, "num_local_experts": 8, "num_experts_per_tok": 2,
    "rope_theta": 10000})";

extern const Architecture kGraniteMoe{.names = {"GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"},
                                      .parse = parse,
                                      .weights = weights,
                                      .keys = {.model_types = {"granitemoe", "granitemoeshared"},
                                               .defaults = kDefaults,
                                               .aliases = {{"num_experts", "num_local_experts"}}}};

}  // namespace polymath::model
