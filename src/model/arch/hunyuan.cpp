// Hunyuan-A13B: norms of each head after the rotation, a shared expert in every layer.
// Source: config.json of tencent/Hunyuan-A13B-Instruct; transformers models/hunyuan_v1_moe.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, {.alpha = true});
  a.qk_norm = QkNorm::kHeadAfter;
  set_attention(j, c, a);
  const int n_layers = static_cast<int>(c.layers.size());
  const auto top_k = per_layer(j, "moe_topk", n_layers, 0);
  const auto intermediate = per_layer(j, "moe_intermediate_size", n_layers, j.i("intermediate_size"));
  const auto shared = per_layer(j, "num_shared_expert", n_layers, 0);
  for (int l = 0; l < n_layers; ++l) {
    FfnConfig moe = routed_ffn("softmax_topk", j.i("num_experts"), top_k[l], intermediate[l]);
    moe.router.normalize = true;
    c.layers[l].ffns = {moe};
    const int width = shared_width(j, "num_shared_expert", shared[l], j.i("intermediate_size"));
    if (width > 0) c.layers[l].ffns.push_back(shared_ffn(width));
  }
  return c;
}

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  const std::string n = "model.layers.{l}.";
  for (auto& row : rows) {
    if (row.slot == "layer.{l}.q_norm") row.names = {n + "self_attn.query_layernorm.weight"};
    if (row.slot == "layer.{l}.k_norm") row.names = {n + "self_attn.key_layernorm.weight"};
  }
  rows.push_back({"layer.{l}.experts.router", {n + "mlp.gate.wg.weight"}});
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_mlp");
  return rows;
}

}  // namespace

// The released config also describes other models of its code: shared keys and values (CLA), images, parallel runs.
extern const Architecture kHunyuanMoe{
    .names = {"HunYuanMoEV1ForCausalLM"},
    .parse = parse,
    .weights = weights,
    .keys = {.model_types = {"hunyuan_v1_moe", "hunyuan"},
             .defaults = R"({
    "vocab_size": 290943, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "attention_bias": false, "num_experts": 1, "moe_topk": 1, "num_shared_expert": 1,
    "rope_theta": 10000})",
             .aliases = {{"num_experts_per_tok", "moe_topk"}, {"num_local_experts", "num_experts"}},
             .harmless = {"attention_head_dim",
                          "num_media_embeds",
                          "anyres_pooling_size",
                          "capacity_factor",
                          "cla_share_factor",
                          "org_vocab_size",
                          "pool_type",
                          "dense_list",
                          "mask_init_id",
                          "im_end_id",
                          "im_newline_id",
                          "im_start_id",
                          "text_end_id",
                          "text_start_id",
                          "video_end_id",
                          "video_start_id",
                          "pad_id",
                          "max_image_size",
                          "anyres_vit_max_image_size",
                          "anyres_vit_two_views"},
             .fixed = R"({"norm_type": "rms", "routed_scaling_factor": 1, "use_rotary_pos_emb": true,
                          "moe_layer_num_skipped": 0, "class_num": 0, "use_mixed_mlp_moe": true,
                          "use_qk_norm": true, "norm_topk_prob": true})"}};

}  // namespace polymath::model
