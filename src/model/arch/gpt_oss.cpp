// gpt-oss: attention sinks, every other layer a sliding window, biases everywhere, clamped SwiGLU.
// Source: config.json of openai/gpt-oss-20b; transformers models/gpt_oss. MXFP4 experts come with quantisation.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 150000);
  a.sinks = true;
  set_attention(j, c, a);
  if (!j.has("layer_types")) {
    for (size_t l = 1; l < c.layers.size(); l += 2) std::get<GroupedQuery>(c.layers[l].attention).window = 0;
  }
  FfnConfig moe =
      routed_ffn("topk_softmax", j.i("num_local_experts"), j.i("num_experts_per_tok"), j.i("intermediate_size"));
  moe.router_linear_bias = moe.expert_bias = true;
  moe.glu.kind = backend::GluKind::kSwigluClamp;
  moe.glu.limit = static_cast<float>(j.f("swiglu_limit", 7.0));
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
  rows.push_back({"layer.{l}.experts.gate_up_bias", {e + "gate_up_proj_bias"}, Layout::kStackedPairs});
  rows.push_back({"layer.{l}.experts.down", {e + "down_proj"}, Layout::kStackedT});
  rows.push_back({"layer.{l}.experts.down_bias", {e + "down_proj_bias"}, Layout::kStacked});
  return rows;
}

}  // namespace

extern const Architecture kGptOss{{"GptOssForCausalLM"}, parse, weights};

}  // namespace polymath::model
