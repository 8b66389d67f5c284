// A config kind of our own: a Llama-like decoder with routed experts in every layer. It can name any routing of
// routing/, so every routing can be run, for research and for tests.
//
//   {"architectures": ["PolymathMoeForCausalLM"], ..., "moe_intermediate_size": 256, "shared_intermediate_size": 0,
//    "routing": {"name": "softmax_topk", "n_experts": 8, "top_k": 2, "n_groups": 1, "top_groups": 1, "normalize": true,
//                "weight_scale": 1.0, "capacity_factor": 0, "slots": 0, "hash_seed": 0, "jitter_eps": 0.01}}

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attention(j, c, grouped_query_attention(j, c), {Windows::kEvery});
  auto r = j.object("routing");
  FfnConfig moe = routed_ffn(r.s("name"), r.i("n_experts"), r.i("top_k", 1), j.i("moe_intermediate_size"));
  moe.router.n_groups = r.i("n_groups", 1);
  moe.router.top_groups = r.i("top_groups", 1);
  moe.router.normalize = r.b("normalize", false);
  moe.router.weight_scale = static_cast<float>(r.f("weight_scale", 1));
  moe.router.jitter_eps = static_cast<float>(r.f("jitter_eps", 0.01));
  moe.router.hash_seed = static_cast<uint32_t>(r.i("hash_seed", 0));
  moe.selection_bias = r.b("selection_bias", false);
  moe.capacity_factor = static_cast<float>(r.f("capacity_factor", 0));
  if (moe.capacity_factor < 0 || moe.capacity_factor > 1024) r.complain("capacity_factor", "must be in [0, 1024]");
  if (moe.routing == "soft_moe") moe.slots = r.i("slots", 1);
  if (moe.routing == "expert_choice") {
    moe.router.top_k = moe.router.n_experts;  // a token may be taken by every expert
    if (moe.capacity_factor == 0) r.complain("capacity_factor", "expert_choice needs one");
  }
  const int shared = j.i("shared_intermediate_size", 0);
  for (auto& layer : c.layers) {
    layer.ffns = {moe};
    if (shared > 0) layer.ffns.push_back(shared_ffn(shared));
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string m = "model.layers.{l}.mlp.";
  rows.push_back({"layer.{l}.experts.router", {m + "gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {m + "gate.selection_bias"}});
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_expert");
  return rows;
}

}  // namespace

extern const Architecture kPolymathMoe{.names = {"PolymathMoeForCausalLM"},
                                       .parse = parse,
                                       .weights = weights,
                                       .keys = {.model_types = {"polymath_moe"}, .defaults = R"({
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "rope_theta": 10000})"}};

}  // namespace polymath::model
