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
  c.positions_max = j.i("max_seq_len", 2048);
  c.layer_norm = true;
  c.norm_eps = 1e-5f;
  c.tied_embeddings = j.b("tie_word_embeddings", false);
  const int layers = j.i("n_layers");
  if (layers < 1 || layers > 2048) return j.complain("n_layers", "must be in [1, 2048]"), c;
  c.layers.resize(layers);

  auto attn = j.object("attn_config"), ffn = j.object("ffn_config");
  GroupedQuery a;
  a.n_heads = j.i("n_heads");
  if (a.n_heads < 1 || a.n_heads > 65536) return j.complain("n_heads", "must be in [1, 65536]"), c;
  a.n_kv_heads = attn.i("kv_n_heads", 1);
  a.head_dim = c.hidden / a.n_heads;
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim));
  a.clip_qkv = static_cast<float>(attn.f("clip_qkv", 0));
  a.rope = parse_rope(j, a.head_dim, attn.f("rope_theta", 10000));

  FfnConfig moe =
      routed_ffn("softmax_topk", ffn.i("moe_num_experts", 4), ffn.i("moe_top_k", 1), ffn.i("ffn_hidden_size"));
  // The exponent of the norm that the chosen weights are divided by; 1: their sum.
  const double p = ffn.f("moe_normalize_expert_weights", 0);
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

extern const Architecture kDbrx{{"DbrxForCausalLM"}, parse, weights};

}  // namespace polymath::model
