// Ling and Ring before 2.5 (BailingMoe): q, k and v in one matrix. The first version chooses by softmax; 2.0 has norms
// of each head, a partial rotation and DeepSeek-V3's routing. Sources: inclusionAI/Ling and Ling-V2, models/*.py.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

GroupedQuery attention(base::JsonReader& j, const ModelConfig& c, RopeRules rope) {
  GroupedQuery a = grouped_query_attention(j, c, rope);
  a.qkv_bias = j.b("use_qkv_bias");
  a.out_bias = j.b("use_bias");
  return a;
}

// moe_shared_expert_intermediate_size is of one shared expert.
void set_bailing_ffns(base::JsonReader& j, ModelConfig& c, FfnConfig experts) {
  experts.router.normalize = experts.router.normalize && experts.router.top_k > 1;
  const int own = experts.intermediate;
  set_ffns(j, c, experts, after_dense_layers(j, c));
  if (j.i("moe_shared_expert_intermediate_size", own) != own) {
    j.complain("moe_shared_expert_intermediate_size",
               "differs from moe_intermediate_size, which the model's code reads");
  }
}

ModelConfig parse_v1(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  set_attention(j, c, attention(j, c, {}));
  set_bailing_ffns(j, c, deepseek_experts(j, "softmax_topk"));
  return c;
}

ModelConfig parse_v2(base::JsonReader& j) {
  ModelConfig c = base_config(j);
  GroupedQuery a = attention(j, c, {.share = true});
  a.qk_norm = j.b("use_qk_norm") ? QkNorm::kHead : QkNorm::kNone;
  if (j.i("rotary_dim", a.rope.dims) != a.rope.dims) {
    j.complain("rotary_dim", "differs from partial_rotary_factor, which the model's code reads");
  }
  set_attention(j, c, a);
  FfnConfig experts = sigmoid_experts(j);
  experts.router.normalize = true;  // whatever norm_topk_prob says
  experts.selection_bias = j.b("moe_router_enable_expert_bias");
  set_bailing_ffns(j, c, experts);
  return c;
}

std::vector<WeightRow> weights(const ModelConfig& c) {
  auto rows = deepseek_rows(c);
  const std::string a = "model.layers.{l}.attention.";
  rename_row(rows, "embed", {"model.word_embeddings.weight"});
  rename_row(rows, "layer.{l}.qkv", {a + "query_key_value.weight"});
  rename_row(rows, "layer.{l}.qkv_bias", {a + "query_key_value.bias"});
  rename_row(rows, "layer.{l}.q_norm", {a + "query_layernorm.weight"});
  rename_row(rows, "layer.{l}.k_norm", {a + "key_layernorm.weight"});
  rename_row(rows, "layer.{l}.attn_out", {a + "dense.weight"});
  rename_row(rows, "layer.{l}.attn_out_bias", {a + "dense.bias"});
  rename_row(rows, "layer.{l}.experts.selection_bias", {"model.layers.{l}.mlp.gate.expert_bias"});
  return rows;
}

}  // namespace

extern const Architecture kBailingMoe{
    .names = {"BailingMoeForCausalLM"},
    .parse = parse_v1,
    .weights = weights,
    .keys = {.model_types = {"bailing_moe"},
             .defaults = R"({
    "vocab_size": 30592, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "max_position_embeddings": 16384, "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "use_qkv_bias": false,
    "use_bias": true, "n_routed_experts": 16, "n_shared_experts": 0, "num_experts_per_tok": 2,
    "norm_topk_prob": true, "routed_scaling_factor": 1, "first_k_dense_replace": 0, "rope_theta": 10000})",
             .aliases = {{"num_experts", "n_routed_experts"}, {"num_shared_experts", "n_shared_experts"}},
             .fixed = R"({"score_function": "softmax"})"}};
extern const Architecture kBailingMoeV2{
    .names = {"BailingMoeV2ForCausalLM"},
    .parse = parse_v2,
    .weights = weights,
    .keys = {.model_types = {"bailing_moe_v2"},
             .defaults = R"({
    "vocab_size": 157184, "hidden_size": 2048, "intermediate_size": 5120, "num_hidden_layers": 20,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_qkv_bias": false, "use_bias": false,
    "use_qk_norm": true, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8,
    "topk_group": 4, "moe_intermediate_size": 512, "first_k_dense_replace": 1, "norm_topk_prob": true,
    "routed_scaling_factor": 1, "moe_router_enable_expert_bias": true, "rope_theta": 600000})",
             .aliases = {{"num_experts", "n_routed_experts"}, {"num_shared_experts", "n_shared_experts"}},
             .harmless = {"mtp_loss_scaling_factor", "num_nextn_predict_layers"},
             .fixed = R"({"score_function": "sigmoid", "scoring_func": "sigmoid", "topk_method": "noaux_tc",
                          "router_dtype": "fp32", "use_rmsnorm": true})"}};

}  // namespace polymath::model
