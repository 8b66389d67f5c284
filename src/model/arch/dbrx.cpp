// DBRX: LayerNorm without bias, clipped q, k and v, sixteen fine experts.
// Source: config.json of databricks/dbrx-base; transformers models/dbrx.

#include <cmath>

#include "absl/strings/str_cat.h"
#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c;
  c.hidden = j.i("d_model");
  c.vocab = j.i("vocab_size");
  c.positions_max = j.i("max_seq_len");
  c.layer_norm = true;
  c.norm_eps = 1e-5f;
  c.tied_embeddings = j.b("tie_word_embeddings");
  const int layers = j.i("n_layers");
  if (layers < 1 || layers > 2048) return j.complain("n_layers", "must be in [1, 2048]"), c;
  c.layers.resize(layers);

  auto attn = j.object("attn_config"), ffn = j.object("ffn_config");
  GroupedQuery a;
  a.n_heads = j.i("n_heads");
  if (a.n_heads < 1 || a.n_heads > 65536) return j.complain("n_heads", "must be in [1, 65536]"), c;
  a.n_kv_heads = attn.i("kv_n_heads");
  a.head_dim = c.hidden / a.n_heads;
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim));
  a.clip_qkv = static_cast<float>(attn.f("clip_qkv", 0));
  a.rope = parse_rope(j, a.head_dim, {});
  // transformers 4 keeps the base of the rotation here. 5 keeps it in rope_parameters, and no longer reads this one.
  const double theta = attn.f("rope_theta", a.rope.theta);
  if (!j.has("rope_parameters") && !j.has("rope_scaling")) {
    a.rope.theta = theta;
    if (j.s("transformers_version", "4").starts_with("5")) j.complain("rope_parameters", "missing");
  }

  FfnConfig moe = routed_ffn("softmax_topk", ffn.i("moe_num_experts"), ffn.i("moe_top_k"), ffn.i("ffn_hidden_size"));
  // The exponent of the norm that the chosen weights are divided by; 1: their sum.
  const double p = ffn.f("moe_normalize_expert_weights", 0);
  const std::string act = ffn.object("ffn_act_fn").s("name");
  if (const auto kind = glu_kind(act); kind) moe.glu.kind = *kind;
  if (!glu_kind(act)) ffn.complain("ffn_act_fn", "\"" + act + "\" is not built yet");
  moe.router.normalize = p == 1;
  if (p != 0 && p != 1) ffn.complain("moe_normalize_expert_weights", "only 1 or null is known");
  for (auto& layer : c.layers) {
    layer.attention = a;
    layer.ffns = {moe};
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  const std::string b = "transformer.blocks.{l}.", n = b + "norm_attn_norm.", m = b + "ffn.experts.mlp.";
  return {
      {"embed", {"transformer.wte.weight"}},
      {"layer.{l}.attn_norm", {n + "norm_1.weight"}},
      {"layer.{l}.qkv", {n + "attn.Wqkv.weight"}},
      {"layer.{l}.attn_out", {n + "attn.out_proj.weight"}},
      {"layer.{l}.ffn_norm", {n + "norm_2.weight"}},
      {"layer.{l}.experts.router", {b + "ffn.router.layer.weight"}},
      {"layer.{l}.experts.gate_up", {m + "w1", m + "v1"}, Layout::kFlat},
      {"layer.{l}.experts.down", {m + "w2"}, Layout::kFlatT},
      {"final_norm", {"transformer.norm_f.weight"}},
      {"lm_head", {"lm_head.weight"}},
  };
}

}  // namespace

extern const Architecture kDbrx{
    .names = {"DbrxForCausalLM"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"dbrx"},
             .defaults = R"({
    "d_model": 2048, "n_heads": 16, "n_layers": 24, "max_seq_len": 2048, "vocab_size": 32000,
    "tie_word_embeddings": false, "rope_theta": 10000, "attn_config": {"kv_n_heads": 1},
    "ffn_config": {"ffn_act_fn": {"name": "silu"}, "ffn_hidden_size": 3584, "moe_num_experts": 4, "moe_top_k": 1,
                   "moe_normalize_expert_weights": 1}})",
             .aliases = {{"num_attention_heads", "n_heads"},
                         {"hidden_size", "d_model"},
                         {"num_hidden_layers", "n_layers"},
                         {"max_position_embeddings", "max_seq_len"}},
             .harmless = {"num_key_value_heads", "attn_config.*", "ffn_config.*", "ffn_config.hidden_size",
                          "ffn_config.moe_jitter_eps", "ffn_config.moe_loss_weight"},
             .reads_hidden_act = false}};

}  // namespace polymath::model
