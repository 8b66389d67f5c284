// Sources: the GGUF specification's keys (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md); what llama.cpp's
// converters write (conversion/*.py), and the constants of its graphs.

#include "weights/gguf_architectures.h"

namespace polymath::weights {
namespace {

constexpr GgufKey kCommon[] = {
    {"block_count", "num_hidden_layers"},
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.sliding_window", "sliding_window"},
    {"rope.freq_base", "rope_theta"},
    {"expert_count", "num_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_count", "n_shared_experts"},
    {"expert_weights_norm", "norm_topk_prob"},
    {"expert_weights_scale", "routed_scaling_factor"},
    {"expert_group_count", "n_group"},
    {"expert_group_used_count", "topk_group"},
    {"leading_dense_block_count", "first_k_dense_replace"},
};

constexpr GgufKey kLocalExperts{"expert_count", "num_local_experts"};
constexpr GgufKey kRoutedExperts{"expert_count", "n_routed_experts"};
constexpr GgufKey kNoExperts{"expert_count", ""}, kNoUsed{"expert_used_count", ""};
constexpr GgufKey kSharedImplied{"expert_shared_feed_forward_length", ""};
constexpr GgufKey kExpertWidth{"expert_feed_forward_length", "intermediate_size"};
constexpr GgufKey kLatent[] = {{"attention.q_lora_rank", "q_lora_rank"}, {"attention.kv_lora_rank", "kv_lora_rank"}};

std::vector<GgufArchitecture> dense_rows() {
  return {
      {.name = "llama", .model = "LlamaForCausalLM", .keys = {kNoExperts, kNoUsed}, .bias = "attention_bias"},
      {.name = "mistral3", .model = "Ministral3ForCausalLM"},
      {.name = "qwen2", .model = "Qwen2ForCausalLM"},
      {.name = "qwen2vl", .model = "Qwen2ForCausalLM"},
      {.name = "qwen3", .model = "Qwen3ForCausalLM", .bias = "attention_bias"},
      {.name = "qwen3vl", .model = "Qwen3ForCausalLM", .keys = {{"n_deepstack_layers", ""}}, .bias = "attention_bias"},
  };
}

std::vector<GgufArchitecture> softmax_rows() {
  return {
      {.name = "llama",
       .model = "MixtralForCausalLM",
       .when = "expert_count",
       .keys = {kLocalExperts, {"expert_feed_forward_length", ""}},
       .gating = 1},
      {.name = "qwen2moe",
       .model = "Qwen2MoeForCausalLM",
       .keys = {{"expert_shared_feed_forward_length", "shared_expert_intermediate_size"}},
       .bias = "qkv_bias",
       .gating = 1},
      {.name = "qwen3moe",
       .model = "Qwen3MoeForCausalLM",
       .constants = R"({"norm_topk_prob": true})",
       .bias = "attention_bias",
       .gating = 1},
      {.name = "qwen3vlmoe",
       .model = "Qwen3MoeForCausalLM",
       .keys = {{"n_deepstack_layers", ""}},
       .constants = R"({"norm_topk_prob": true})",
       .bias = "attention_bias",
       .gating = 1},
      {.name = "deepseek",
       .model = "DeepseekForCausalLM",
       .keys = {kRoutedExperts},
       .bias = "attention_bias",
       .gating = 1},
      {.name = "gpt-oss",
       .model = "GptOssForCausalLM",
       .keys = {kLocalExperts, kExpertWidth},
       .constants = R"({"attention_bias": true, "rope_scaling": {"truncate": false}})",
       .gating = 1},
  };
}

std::vector<GgufArchitecture> further_softmax_rows() {
  return {
      {.name = "granitemoe",
       .model = "GraniteMoeSharedForCausalLM",
       .when = "expert_shared_feed_forward_length",
       .keys = {kLocalExperts,
                {"expert_shared_feed_forward_length", "shared_intermediate_size"},
                {"attention.scale", "attention_multiplier"},
                {"embedding_scale", "embedding_multiplier"},
                {"residual_scale", "residual_multiplier"},
                {"logit_scale", "logits_scaling"}},
       .bias = "attention_bias",
       .gating = 1},
      {.name = "granitemoe",
       .model = "GraniteMoeForCausalLM",
       .keys = {kLocalExperts,
                kSharedImplied,
                {"attention.scale", "attention_multiplier"},
                {"embedding_scale", "embedding_multiplier"},
                {"residual_scale", "residual_multiplier"},
                {"logit_scale", "logits_scaling"}},
       .bias = "attention_bias",
       .gating = 1},
      {.name = "olmoe",
       .model = "OlmoeForCausalLM",
       .keys = {{"attention.clamp_kqv", "clip_qkv"}},
       .constants = R"({"norm_topk_prob": false})",
       .bias = "attention_bias",
       .gating = 1},
      {.name = "phimoe",
       .model = "PhimoeForCausalLM",
       .keys = {kLocalExperts, {"expert_feed_forward_length", ""}},
       .bias = "attention_bias",
       .gating = 1},
      {.name = "dbrx",
       .model = "DbrxForCausalLM",
       .keys = {{"block_count", "n_layers"},
                {"context_length", "max_seq_len"},
                {"embedding_length", "d_model"},
                {"feed_forward_length", "ffn_config.ffn_hidden_size"},
                {"attention.head_count", "n_heads"},
                {"attention.head_count_kv", "attn_config.kv_n_heads"},
                {"attention.layer_norm_epsilon", ""},
                {"attention.clamp_kqv", "attn_config.clip_qkv"},
                {"rope.freq_base", "attn_config.rope_theta"},
                {"expert_count", "ffn_config.moe_num_experts"},
                {"expert_used_count", "ffn_config.moe_top_k"}},
       .constants = R"({"ffn_config": {"ffn_act_fn": {"name": "silu"}, "moe_normalize_expert_weights": 1}})",
       .gating = 1},
      {.name = "ernie4_5-moe",
       .model = "Ernie4_5_MoeForCausalLM",
       .keys = {{"expert_count", "moe_num_experts"},
                {"expert_used_count", "moe_k"},
                {"expert_shared_count", "moe_num_shared_experts"},
                {"leading_dense_block_count", "moe_layer_start_index"},
                {"interleave_moe_layer_step", "moe_layer_interval"},
                kSharedImplied},
       .gating = 1},
      {.name = "bailingmoe",
       .model = "BailingMoeForCausalLM",
       .keys = {kRoutedExperts},
       .constants = R"({"use_bias": false})",
       .bias = "use_qkv_bias",
       .gating = 1},
      {.name = "hunyuan-moe",
       .model = "HunYuanMoEV1ForCausalLM",
       .keys = {{"expert_used_count", "moe_topk"}, {"expert_shared_count", "num_shared_expert"}, kSharedImplied},
       .gating = 1},
  };
}

std::vector<GgufArchitecture> latent_rows() {
  return {
      {.name = "deepseek2",
       .model = "DeepseekV3ForCausalLM",
       .when = "expert_gating_func",
       .value = 2,
       .keys = {kRoutedExperts, kLatent[0], kLatent[1]},
       .latent = true,
       .log_multiplier = 0.1,
       .gating = 2},
      {.name = "deepseek2",
       .model = "DeepseekV2ForCausalLM",
       .keys = {kRoutedExperts, kLatent[0], kLatent[1]},
       .latent = true,
       .log_multiplier = 0.1,
       .gating = 1},
      {.name = "mistral4",
       .model = "Mistral4ForCausalLM",
       .keys = {kRoutedExperts, kLatent[0], kLatent[1]},
       .latent = true,
       .log_multiplier = 0.1,
       .gating = 1},
  };
}

std::vector<GgufArchitecture> sigmoid_rows() {
  return {
      {.name = "glm4moe",
       .model = "Glm4MoeForCausalLM",
       .keys = {kRoutedExperts},
       .bias = "attention_bias",
       .qk_norm = "use_qk_norm",
       .partial_rotary = true,
       .gating = 2},
      {.name = "dots1",
       .model = "Dots1ForCausalLM",
       .keys = {kRoutedExperts},
       .constants = R"({"sliding_window": null})",
       .bias = "attention_bias",
       .gating = 2},
      {.name = "exaone-moe", .model = "ExaoneMoeForCausalLM", .keys = {kRoutedExperts, kSharedImplied}, .gating = 2},
      {.name = "bailingmoe2",
       .model = "BailingMoeV2ForCausalLM",
       .keys = {kRoutedExperts, kSharedImplied},
       .bias = "use_qkv_bias",
       .qk_norm = "use_qk_norm",
       .partial_rotary = true,
       .gating = 2},
      {.name = "minimax-m2",
       .model = "MiniMaxM2ForCausalLM",
       .keys = {kLocalExperts, kExpertWidth, {"feed_forward_length", ""}},
       .partial_rotary = true,
       .gating = 2},
      {.name = "afmoe",
       .model = "AfmoeForCausalLM",
       .keys = {kRoutedExperts},
       .constants = R"({"mup_enabled": true})",
       .gating = 2},
      {.name = "llama4",
       .model = "Llama4ForCausalLM",
       .keys = {kLocalExperts,
                kExpertWidth,
                {"feed_forward_length", "intermediate_size_mlp"},
                {"interleave_moe_layer_step", "interleave_moe_layer_step"},
                {"leading_dense_block_count", ""},
                {"expert_swa", ""}},
       .gating = 2},
      {.name = "qwen3next", .model = ""},
  };
}

}  // namespace

std::span<const GgufKey> gguf_common_keys() { return kCommon; }

std::span<const GgufArchitecture> gguf_architectures() {
  static const std::vector<GgufArchitecture> rows = [] {
    std::vector<GgufArchitecture> all = softmax_rows();
    for (const auto& more : {further_softmax_rows(), latent_rows(), sigmoid_rows(), dense_rows()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return rows;
}

}  // namespace polymath::weights
