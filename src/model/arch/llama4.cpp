// Llama 4 (text). Three of four layers have chunked attention with rotation. The fourth has no positions. One routed
// expert, weighted at its input, and a shared one.
// Source: config.json of meta-llama/Llama-4-Scout-17B-16E; transformers models/llama4.

#include <algorithm>

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

void set_attentions(base::JsonReader& j, ModelConfig& c) {
  GroupedQuery rotated = grouped_query_attention(j, c, 500000);
  rotated.rope.interleaved = true;
  rotated.qk_norm = j.b("use_qk_norm", true) ? QkNorm::kL2After : QkNorm::kNone;
  rotated.chunk = j.i("attention_chunk_size", 8192);
  GroupedQuery plain = rotated;
  plain.rope = {};
  plain.qk_norm = QkNorm::kNone;
  plain.chunk = 0;
  if (j.b("attn_temperature_tuning", true)) {
    plain.temperature = {static_cast<float>(j.f("floor_scale", 8192)), static_cast<float>(j.f("attn_scale", 0.1))};
  }
  const auto has_rope = j.ints("no_rope_layers");  // 1: rotated, whatever the name says
  const int interval = std::max(1, j.i("no_rope_layer_interval", 4));
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    const bool rope = has_rope.size() == c.layers.size() ? has_rope[l] != 0 : (l + 1) % interval != 0;
    c.layers[l].attention = rope ? rotated : plain;
  }
}

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attentions(j, c);
  FfnConfig moe =
      routed_ffn("sigmoid_topk", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  moe.weight_on_input = true;
  const auto moe_layers = j.ints("moe_layers");
  const int step = std::max(1, j.i("interleave_moe_layer_step", 1));
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    const bool sparse = j.has("moe_layers") ? std::find(moe_layers.begin(), moe_layers.end(), l) != moe_layers.end()
                                            : (l + 1) % step == 0;
    if (sparse) {
      c.layers[l].ffns = {moe, shared_ffn(moe.intermediate)};
    } else {
      c.layers[l].ffns = {dense_ffn(j.i("intermediate_size_mlp"))};
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

extern const Architecture kLlama4{{"Llama4ForCausalLM"}, parse, weights};

}  // namespace polymath::model
