// Mistral's own format: params.json, and tensors called "layers.0.attention.wq.weight". Dense models, Mixtral, and
// Large 3 with its latent attention. Heads rotate neighbouring elements. Sources: mistralai/mistral-inference (args,
// transformer_layers); params.json of mistralai/Mixtral-8x7B-Instruct-v0.1 and Mistral-Large-3-675B-Instruct-2512.

#include <algorithm>
#include <cmath>

#include "layers/rope.h"
#include "model/arch/shared.h"

namespace polymath::model {
namespace {

RopeConfig rope_of(base::JsonReader& j, int dims) {
  RopeConfig r;
  r.dims = dims;
  r.interleaved = true;
  // The reference's own rule for models older than the key.
  r.theta = j.f("rope_theta", j.has("sliding_window") ? 1e4 : 1e6);
  if (!j.has("yarn")) return r;
  base::JsonReader yarn = j.object("yarn");
  r.scaling = RopeScaling::kYarn;
  r.factor = yarn.f("factor");
  r.original_len = yarn.i("original_max_position_embeddings");
  r.beta_fast = yarn.f("beta", 32);
  r.beta_slow = yarn.f("alpha", 1);
  if (!(r.factor > 0) || r.original_len < 1) yarn.complain("factor", "it and the original length must be positive");
  if (!yarn.b("apply_scale", true)) r.attention_factor = 1;
  return r;
}

layers::QueryTemperature temperature_of(base::JsonReader& j) {
  if (!j.has("llama_4_scaling")) return {};
  base::JsonReader scaling = j.object("llama_4_scaling");
  const int length = scaling.i("original_max_position_embeddings");
  if (length < 1) scaling.complain("original_max_position_embeddings", "must be positive");
  return {.floor = static_cast<float>(length), .scale = static_cast<float>(scaling.f("beta")), .shift = 0};
}

Latent latent_of(base::JsonReader& j) {
  Latent a;
  a.n_heads = j.i("n_heads");
  a.q_lora = j.i("q_lora_rank", 0);
  a.kv_lora = j.i("kv_lora_rank");
  a.nope_dim = head_part(j, "qk_nope_head_dim");
  a.value_dim = j.i("v_head_dim");
  a.rope = rope_of(j, head_part(j, "qk_rope_head_dim"));
  a.temperature = temperature_of(j);
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim()));
  for (const char* key : {"head_dim", "n_kv_heads"}) j.find(key);  // of the cache before it is compressed
  if (a.rope.scaling == RopeScaling::kYarn && a.rope.attention_factor == 0) {
    const double m = layers::yarn_mscale(a.rope.factor, 1);
    a.scale *= static_cast<float>(m * m);
  }
  a.rope.attention_factor = 1;  // its scale is the queries' alone
  return a;
}

GroupedQuery grouped_of(base::JsonReader& j, const ModelConfig& c) {
  GroupedQuery a;
  a.n_heads = j.i("n_heads");
  if (a.n_heads < 1) return j.complain("n_heads", "must be positive"), a;
  a.n_kv_heads = j.i("n_kv_heads", a.n_heads);
  a.head_dim = j.i("head_dim", c.hidden / a.n_heads);
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim));
  a.window = j.i("sliding_window", 0);
  a.rope = rope_of(j, a.head_dim);
  a.temperature = temperature_of(j);
  return a;
}

// Mixtral's experts are of hidden_dim. Large 3's have a width of their own and a shared expert.
void set_experts(base::JsonReader& j, ModelConfig& c) {
  const FfnConfig dense = dense_ffn(j.i("hidden_dim"));
  std::vector<FfnConfig> sparse;
  int first = static_cast<int>(c.layers.size());
  if (j.has("moe")) {
    base::JsonReader moe = j.object("moe");
    const int width = moe.i("expert_hidden_dim", dense.intermediate);
    const int shared = shared_width(moe, "num_shared_experts", moe.i("num_shared_experts", 0), width);
    sparse = {routed_ffn("softmax_topk", moe.i("num_experts"), moe.i("num_experts_per_tok"), width)};
    sparse[0].router.normalize = true;
    sparse[0].router.weight_scale = static_cast<float>(moe.f("routed_scale", 1));
    if (shared > 0) sparse.push_back(shared_ffn(shared));
    first = moe.i("first_k_dense_replace", 0);
    for (const char* key : {"expert_parallel", "expert_model_parallel"}) moe.find(key);
    for (const char* key : {"route_every_n", "num_expert_groups", "num_expert_groups_per_tok"}) {
      if (moe.i(key, 1) != 1) moe.complain(key, "only 1 is built");
    }
  }
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    c.layers[l].ffns = l >= first ? sparse : std::vector<FfnConfig>{dense};
  }
}

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  if (j.has("qk_nope_head_dim")) {
    Latent a = latent_of(j);
    a.norm_eps = c.norm_eps;
    for (LayerConfig& layer : c.layers) layer.attention = a;
  } else {
    const GroupedQuery a = grouped_of(j, c);
    for (LayerConfig& layer : c.layers) layer.attention = a;
  }
  set_experts(j, c);
  for (const char* part : {"vision_encoder", "multimodal"}) {
    if (j.has(part)) c.left_out = part;
  }
  return c;
}

// The names of llama_rows() and add_latent_rows() in Mistral's words.
std::vector<WeightRow> weights(const ModelConfig&) {
  const std::string n = "layers.{l}.", a = n + "attention.";
  std::vector<WeightRow> rows = {
      {"embed", {"tok_embeddings.weight"}},
      {"layer.{l}.attn_norm", {n + "attention_norm.weight"}},
      {"layer.{l}.attn_out", {a + "wo.weight"}},
      {"layer.{l}.ffn_norm", {n + "ffn_norm.weight"}},
      {"layer.{l}.qkv", {a + "wq.weight", a + "wk.weight", a + "wv.weight"}},
      {"layer.{l}.q_kv_a", {a + "wq.weight", a + "wkv_a_with_mqa.weight"}},
      {"layer.{l}.q_a_kv_a", {a + "wq_a.weight", a + "wkv_a_with_mqa.weight"}},
      {"layer.{l}.q_a_norm", {a + "q_a_norm.weight"}},
      {"layer.{l}.q_b", {a + "wq_b.weight"}},
      {"layer.{l}.kv_a_norm", {a + "kv_a_norm.weight"}},
      {"layer.{l}.key_up", {a + "wkv_b.weight"}, Layout::kFlatT},
      {"layer.{l}.value_up", {a + "wkv_b.weight"}, Layout::kFlat},
      {"layer.{l}.dense.gate_up", {n + "feed_forward.w1.weight", n + "feed_forward.w3.weight"}},
      {"layer.{l}.dense.down", {n + "feed_forward.w2.weight"}},
      {"layer.{l}.shared.gate_up", {n + "shared_experts.w1.weight", n + "shared_experts.w3.weight"}},
      {"layer.{l}.shared.down", {n + "shared_experts.w2.weight"}},
      {"final_norm", {"norm.weight"}},
      {"lm_head", {"output.weight"}},
  };
  for (const std::string& m : {n + "feed_forward.", n}) {
    const std::string e = m + "experts.{e}.";
    rows.push_back({"layer.{l}.experts.router", {m + "gate.weight"}});
    rows.push_back({"layer.{l}.experts.gate_up", {e + "w1.weight", e + "w3.weight"}});
    rows.push_back({"layer.{l}.experts.down", {e + "w2.weight"}});
  }
  return rows;
}

}  // namespace

// weights/model_files.cpp writes this name where a directory has params.json.
extern const Architecture kMistralParams{
    .names = {"MistralParams"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"mistral_params"},
             .defaults = R"({"rms_norm_eps": 1e-5, "tie_word_embeddings": false, "max_position_embeddings": 128000,
    "bos_token_id": 1, "eos_token_id": 2})",
             .aliases = {{"dim", "hidden_size"},
                         {"n_layers", "num_hidden_layers"},
                         {"norm_eps", "rms_norm_eps"},
                         {"tied_embeddings", "tie_word_embeddings"},
                         {"max_seq_len", "max_position_embeddings"},
                         {"activation", "hidden_act"}},
             .harmless = {"max_batch_size", "model_parallel", "n_sub_batches", "causal"}}};

}  // namespace polymath::model
