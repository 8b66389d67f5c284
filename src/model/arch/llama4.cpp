// Llama 4 (text). Three of four layers have chunked attention with rotation. The fourth has no positions. One routed
// expert, weighted at its input, and a shared one.
// Source: config.json of meta-llama/Llama-4-Scout-17B-16E; transformers models/llama4.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

void set_attentions(base::JsonReader& j, ModelConfig& c) {
  GroupedQuery rotated = grouped_query_attention(j, c);
  rotated.rope.interleaved = true;
  rotated.qk_norm = j.b("use_qk_norm") ? QkNorm::kL2After : QkNorm::kNone;
  rotated.chunk = j.i("attention_chunk_size", 0);
  GroupedQuery plain = rotated;
  plain.rope = {};
  plain.qk_norm = QkNorm::kNone;
  plain.chunk = 0;
  const layers::QueryTemperature tuning = {static_cast<float>(j.f("floor_scale")),
                                           static_cast<float>(j.f("attn_scale"))};
  if (j.b("attn_temperature_tuning")) plain.temperature = tuning;
  const auto has_rope = j.ints("no_rope_layers");  // 1: rotated, whatever the name says
  const auto types = listed_layer_types(j, c, {"chunked_attention", "full_attention"});
  if (!has_rope.empty() && has_rope.size() != c.layers.size()) {
    return j.complain("no_rope_layers", "must have one entry a layer");
  }
  const int interval = std::max(1, j.i("no_rope_layer_interval"));
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    const bool rope = has_rope.empty() ? (l + 1) % interval != 0 : has_rope[l] != 0;
    GroupedQuery a = rope ? rotated : plain;
    if (!types.empty()) a.chunk = types[l] == "chunked_attention" ? rotated.chunk : 0;
    if (!types.empty() && types[l] == "chunked_attention" && rotated.chunk == 0) {
      j.complain("attention_chunk_size", "missing, but a layer is chunked");
    }
    c.layers[l].attention = a;
  }
}

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attentions(j, c);
  FfnConfig moe =
      routed_ffn("sigmoid_topk", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  moe.weight_on_input = true;
  const FfnConfig dense = dense_ffn(j.i("intermediate_size_mlp"));
  const auto moe_layers = j.ints("moe_layers");
  const int step = std::max(1, j.i("interleave_moe_layer_step"));
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    const bool sparse = j.has("moe_layers") ? std::find(moe_layers.begin(), moe_layers.end(), l) != moe_layers.end()
                                            : (l + 1) % step == 0;
    if (sparse) {
      c.layers[l].ffns = {moe, shared_ffn(moe.intermediate)};
    } else {
      c.layers[l].ffns = {dense};
    }
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string m = "model.layers.{l}.feed_forward.";
  rows.push_back({"layer.{l}.experts.router", {m + "router.weight"}});
  rows.push_back({"layer.{l}.experts.gate_up", {m + "experts.gate_up_proj"}, Layout::kStackedT});
  rows.push_back({"layer.{l}.experts.down", {m + "experts.down_proj"}, Layout::kStackedT});
  add_ffn_rows(rows, "experts", "feed_forward.experts.{e}");
  add_ffn_rows(rows, "dense", "feed_forward");
  add_ffn_rows(rows, "shared", "feed_forward.shared_expert");
  return rows;
}

}  // namespace

extern const Architecture kLlama4{.names = {"Llama4ForCausalLM", "Llama4ForConditionalGeneration"},
                                  .parse = parse,
                                  .weights = weights,
                                  .keys = {.model_types = {"llama4_text", "llama4"},
                                           .defaults = R"({
    "vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
    "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    "num_experts_per_tok": 1, "num_local_experts": 16, "interleave_moe_layer_step": 1, "use_qk_norm": true,
    "no_rope_layer_interval": 4, "attention_chunk_size": 8192, "attn_temperature_tuning": true, "floor_scale": 8192,
    "attn_scale": 0.1, "attention_bias": false, "rope_theta": 500000})",
                                           .harmless = {"for_llm_compressor", "cache_implementation"}}};

}  // namespace polymath::model
