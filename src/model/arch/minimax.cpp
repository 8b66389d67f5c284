// MiniMax-M2: norms over all heads of q and of k, a partial rotation, sigmoid routing with a bias.
// Source: config.json of MiniMaxAI/MiniMax-M2; transformers models/minimax_m2.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, {.share = true});
  if (a.rope.dims == a.head_dim) a.rope.dims = j.i("rotary_dim", a.head_dim);
  a.qk_norm = QkNorm::kFull;
  set_attention(j, c, a);
  const auto types = j.ints("attn_type_list");
  if (std::any_of(types.begin(), types.end(), [](int type) { return type != 1; })) {
    j.complain("attn_type_list", "lightning attention is not built yet");
  }
  FfnConfig experts =
      routed_ffn("sigmoid_group_topk", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  experts.selection_bias = true;
  experts.router.normalize = true;
  for (LayerConfig& layer : c.layers) layer.ffns = {experts};
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string n = "model.layers.{l}.", m = n + "block_sparse_moe.", e = m + "experts.{e}.";
  rows.push_back({"layer.{l}.experts.router", {m + "gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {m + "e_score_correction_bias"}});
  rows.push_back({"layer.{l}.experts.gate_up", {e + "w1.weight", e + "w3.weight"}});
  rows.push_back({"layer.{l}.experts.down", {e + "w2.weight"}});
  // transformers 5's names
  rows.push_back({"layer.{l}.experts.router", {n + "mlp.gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {n + "mlp.e_score_correction_bias"}});
  add_stacked_rows(rows, "mlp.experts");
  return rows;
}

}  // namespace

extern const Architecture kMinimaxM2{
    .names = {"MiniMaxM2ForCausalLM"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"minimax_m2"},
             .defaults = R"({
    "vocab_size": 200064, "hidden_size": 3072, "intermediate_size": 1536, "num_hidden_layers": 62,
    "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 196608,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "num_experts_per_tok": 8, "num_local_experts": 256,
    "rope_theta": 5000000})",
             .aliases = {{"num_experts", "num_local_experts"}},
             .harmless = {"num_mtp_modules", "mtp_transformer_layers", "use_mtp", "num_nextn_predict_layers"},
             .fixed = R"({"use_qk_norm": true, "qk_norm_type": "per_layer", "scoring_func": "sigmoid",
                          "use_routing_bias": true, "shared_intermediate_size": 0})"}};

}  // namespace polymath::model
