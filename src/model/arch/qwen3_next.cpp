// Qwen3-Next: gated delta nets in three of four layers, gated attention in the fourth. Softmax top-k routing, and a
// gated shared expert. Source: config.json of Qwen/Qwen3-Next-80B-A3B-Instruct; transformers models/qwen3_next.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

layers::GatedDeltaNet delta_net(base::JsonReader& j) {
  layers::GatedDeltaNet net;
  net.shape = {.key_heads = j.i("linear_num_key_heads"),
               .value_heads = j.i("linear_num_value_heads"),
               .key_dim = j.i("linear_key_head_dim"),
               .value_dim = j.i("linear_value_head_dim"),
               .conv_kernel = j.i("linear_conv_kernel_dim")};
  return net;
}

GroupedQuery attention(base::JsonReader& j, const ModelConfig& c) {
  GroupedQuery a = grouped_query_attention(j, c, {.share = true, .by_layer_type = true});
  a.qk_norm = QkNorm::kHead;
  a.output_gate = layers::OutputGate::kWithQuery;
  return a;
}

void set_attentions(base::JsonReader& j, ModelConfig& c) {
  const layers::GatedDeltaNet linear = delta_net(j);
  const GroupedQuery full = attention(j, c);
  const auto types = listed_layer_types(j, c, {"linear_attention", "full_attention"});
  const int interval = std::max(1, j.i("full_attention_interval"));
  for (size_t l = 0; l < c.layers.size(); ++l) {
    const bool is_full = types.empty() ? (static_cast<int>(l) + 1) % interval == 0 : types[l] == "full_attention";
    if (is_full) {
      c.layers[l].attention = full;
    } else {
      c.layers[l].attention = linear;
    }
  }
}

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attentions(j, c);
  FfnConfig experts =
      routed_ffn("softmax_topk", j.i("num_experts"), j.i("num_experts_per_tok"), j.i("moe_intermediate_size"));
  experts.router.normalize = j.b("norm_topk_prob");
  FfnConfig shared = shared_ffn(j.i("shared_expert_intermediate_size"));
  shared.routing = "sigmoid_topk";  // one expert, weighted by the sigmoid of its gate
  set_sparse_layers(j, c, {experts, shared});
  return c;
}

// Norms store their difference from 1, but for that of a delta net's output.
std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  for (WeightRow& row : rows) {
    if (row.slot.ends_with("_norm")) row.offset = 1;
  }
  const std::string n = "model.layers.{l}.", a = n + "linear_attn.";
  rows.push_back({"layer.{l}.in_qkvz", {a + "in_proj_qkvz.weight"}});
  rows.push_back({"layer.{l}.in_ba", {a + "in_proj_ba.weight"}});
  rows.push_back({"layer.{l}.conv", {a + "conv1d.weight"}, Layout::kDepthwise});
  rows.push_back({"layer.{l}.a_log", {a + "A_log"}});
  rows.push_back({"layer.{l}.dt_bias", {a + "dt_bias"}});
  rows.push_back({"layer.{l}.delta_norm", {a + "norm.weight"}});
  rows.push_back({"layer.{l}.delta_out", {a + "out_proj.weight"}});
  rows.push_back({"layer.{l}.experts.router", {n + "mlp.gate.weight"}});
  rows.push_back({"layer.{l}.shared.router", {n + "mlp.shared_expert_gate.weight"}});
  add_ffn_rows(rows, "dense", "mlp");
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_expert");
  return rows;
}

}  // namespace

extern const Architecture kQwen3Next{.names = {"Qwen3NextForCausalLM"},
                                     .parse = parse,
                                     .weights = weights,
                                     .keys = {.model_types = {"qwen3_next"},
                                              .defaults = R"({
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 48,
    "num_attention_heads": 16, "num_key_value_heads": 2, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false, "head_dim": 256,
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "decoder_sparse_step": 1,
    "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "num_experts_per_tok": 10,
    "num_experts": 512, "norm_topk_prob": true, "full_attention_interval": 4, "partial_rotary_factor": 0.25,
    "rope_theta": 10000})",
                                              .aliases = {{"num_local_experts", "num_experts"}}}};

}  // namespace polymath::model
