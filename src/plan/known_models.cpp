#include "plan/known_models.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "model/loading/load.h"

namespace polymath::plan {
namespace {

// Source: config.json of each repository, read in 2026-11. Multi-token-prediction layers are not counted: they are not
// served.
constexpr KnownModel kModels[] = {
    {"Mixtral-8x7B", "mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1", "bfloat16",
     R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
     "max_position_embeddings": 32768, "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
     "num_key_value_heads": 8, "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
     "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32000})"},
    {"Mixtral-8x22B", "mistralai/Mixtral-8x22B-v0.1", "", "bfloat16",
     R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 6144, "intermediate_size": 16384,
     "max_position_embeddings": 65536, "num_attention_heads": 48, "num_experts_per_tok": 2, "num_hidden_layers": 56,
     "num_key_value_heads": 8, "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
     "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32000})"},
    {"Mixtral-8x22B-Instruct", "mistralai/Mixtral-8x22B-Instruct-v0.1", "", "bfloat16",
     R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 6144, "intermediate_size": 16384,
     "max_position_embeddings": 65536, "num_attention_heads": 48, "num_experts_per_tok": 2, "num_hidden_layers": 56,
     "num_key_value_heads": 8, "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
     "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32768})"},
    {"DeepSeek-V3", "deepseek-ai/DeepSeek-V3",
     "deepseek-ai/DeepSeek-R1 deepseek-ai/DeepSeek-V3-0324 deepseek-ai/DeepSeek-R1-0528", "fp8",
     R"({"architectures": ["DeepseekV3ForCausalLM"], "first_k_dense_replace": 3, "hidden_size": 7168,
     "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 2048,
     "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
     "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
     "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
     "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 4,
     "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 129280})"},
    {"DeepSeek-V2", "deepseek-ai/DeepSeek-V2", "deepseek-ai/DeepSeek-V2-Chat deepseek-ai/DeepSeek-V2.5", "bfloat16",
     R"({"architectures": ["DeepseekV2ForCausalLM"], "first_k_dense_replace": 1, "hidden_size": 5120,
     "intermediate_size": 12288, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 1536,
     "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 160, "n_shared_experts": 2, "norm_topk_prob": false,
     "num_attention_heads": 128, "num_experts_per_tok": 6, "num_hidden_layers": 60, "num_key_value_heads": 128,
     "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
     "routed_scaling_factor": 16.0, "scoring_func": "softmax", "tie_word_embeddings": false, "topk_group": 3,
     "topk_method": "group_limited_greedy", "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 102400})"},
    {"DeepSeek-V2-Lite", "deepseek-ai/DeepSeek-V2-Lite", "deepseek-ai/DeepSeek-V2-Lite-Chat", "bfloat16",
     R"({"architectures": ["DeepseekV2ForCausalLM"], "first_k_dense_replace": 1, "hidden_size": 2048,
     "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 1408,
     "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false,
     "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27, "num_key_value_heads": 16,
     "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
     "routed_scaling_factor": 1.0, "scoring_func": "softmax", "tie_word_embeddings": false, "topk_group": 1,
     "topk_method": "greedy", "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 102400})"},
    {"DeepSeek-MoE-16B", "deepseek-ai/deepseek-moe-16b-base",
     "deepseek-ai/deepseek-moe-16b-chat deepseek-moe-16b DeepSeekMoE-16B", "bfloat16",
     R"({"architectures": ["DeepseekForCausalLM"], "attention_bias": false, "first_k_dense_replace": 1,
     "hidden_size": 2048, "intermediate_size": 10944, "max_position_embeddings": 4096, "moe_intermediate_size": 1408,
     "moe_layer_freq": 1, "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false,
     "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 28, "num_key_value_heads": 16,
     "rms_norm_eps": 1e-06, "rope_theta": 10000, "scoring_func": "softmax", "tie_word_embeddings": false,
     "torch_dtype": "bfloat16", "vocab_size": 102400})"},
    {"Qwen1.5-MoE-A2.7B", "Qwen/Qwen1.5-MoE-A2.7B", "Qwen/Qwen1.5-MoE-A2.7B-Chat", "bfloat16",
     R"({"architectures": ["Qwen2MoeForCausalLM"], "hidden_size": 2048, "intermediate_size": 5632,
     "max_position_embeddings": 8192, "num_attention_heads": 16, "num_hidden_layers": 24, "num_key_value_heads": 16,
     "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "use_sliding_window": false, "tie_word_embeddings": false,
     "torch_dtype": "bfloat16", "vocab_size": 151936, "decoder_sparse_step": 1, "moe_intermediate_size": 1408,
     "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4, "num_experts": 60, "norm_topk_prob": false})"},
    {"Qwen2-57B-A14B", "Qwen/Qwen2-57B-A14B", "Qwen/Qwen2-57B-A14B-Instruct", "bfloat16",
     R"({"architectures": ["Qwen2MoeForCausalLM"], "hidden_size": 3584, "intermediate_size": 18944,
     "max_position_embeddings": 131072, "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
     "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "use_sliding_window": false, "tie_word_embeddings": false,
     "torch_dtype": "bfloat16", "vocab_size": 151936, "decoder_sparse_step": 1, "moe_intermediate_size": 2560,
     "shared_expert_intermediate_size": 20480, "num_experts_per_tok": 8, "num_experts": 64, "norm_topk_prob": false})"},
    {"Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B", "", "bfloat16",
     R"({"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128,
     "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960, "mlp_only_layers": [],
     "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128,
     "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
     "rope_theta": 1000000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 151936})"},
    {"Qwen3-235B-A22B", "Qwen/Qwen3-235B-A22B", "", "bfloat16",
     R"({"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128,
     "hidden_size": 4096, "intermediate_size": 12288, "max_position_embeddings": 40960, "mlp_only_layers": [],
     "moe_intermediate_size": 1536, "norm_topk_prob": true, "num_attention_heads": 64, "num_experts": 128,
     "num_experts_per_tok": 8, "num_hidden_layers": 94, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
     "rope_theta": 1000000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 151936})"},
    {"DBRX", "databricks/dbrx-base", "databricks/dbrx-instruct", "bfloat16",
     R"({"architectures": ["DbrxForCausalLM"], "attn_config": {"clip_qkv": 8, "kv_n_heads": 8, "rope_theta": 500000},
     "d_model": 6144, "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
     "max_seq_len": 32768, "n_heads": 48, "n_layers": 40, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
     "vocab_size": 100352})"},
    {"OLMoE-1B-7B", "allenai/OLMoE-1B-7B-0924", "allenai/OLMoE-1B-7B-0924-Instruct allenai/OLMoE-1B-7B-0125",
     "bfloat16",
     R"({"architectures": ["OlmoeForCausalLM"], "attention_bias": false, "hidden_size": 2048,
     "intermediate_size": 1024, "max_position_embeddings": 4096, "norm_topk_prob": false, "num_attention_heads": 16,
     "num_experts": 64, "num_experts_per_tok": 8, "num_hidden_layers": 16, "num_key_value_heads": 16,
     "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
     "vocab_size": 50304})"},
    {"Phi-3.5-MoE", "microsoft/Phi-3.5-MoE-instruct", "", "bfloat16",
     R"({"architectures": ["PhiMoEForCausalLM"], "attention_bias": true, "hidden_size": 4096,
     "intermediate_size": 6400, "lm_head_bias": true, "max_position_embeddings": 131072, "num_attention_heads": 32,
     "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 16,
     "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
     "vocab_size": 32064})"},
    {"gpt-oss-20b", "openai/gpt-oss-20b", "", "mxfp4",
     R"({"architectures": ["GptOssForCausalLM"], "num_hidden_layers": 24, "num_local_experts": 32,
     "torch_dtype": "bfloat16"})"},
    {"gpt-oss-120b", "openai/gpt-oss-120b", "", "mxfp4",
     R"({"architectures": ["GptOssForCausalLM"], "num_hidden_layers": 36, "num_local_experts": 128,
     "torch_dtype": "bfloat16"})"},
    {"GLM-4.5-Air", "zai-org/GLM-4.5-Air", "", "bfloat16",
     R"({"architectures": ["Glm4MoeForCausalLM"], "attention_bias": true, "first_k_dense_replace": 1,
     "head_dim": 128, "hidden_size": 4096, "intermediate_size": 10944, "max_position_embeddings": 131072,
     "moe_intermediate_size": 1408, "n_group": 1, "n_routed_experts": 128, "n_shared_experts": 1,
     "norm_topk_prob": true, "num_attention_heads": 96, "num_experts_per_tok": 8, "num_hidden_layers": 46,
     "num_key_value_heads": 8, "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-05, "rope_theta": 1000000,
     "routed_scaling_factor": 1.0, "tie_word_embeddings": false, "topk_group": 1, "torch_dtype": "bfloat16",
     "use_qk_norm": false, "vocab_size": 151552})"},
    {"Llama-4-Scout", "meta-llama/Llama-4-Scout-17B-16E", "meta-llama/Llama-4-Scout-17B-16E-Instruct", "bfloat16",
     R"({"architectures": ["Llama4ForCausalLM"], "interleave_moe_layer_step": 1, "max_position_embeddings": 10485760,
     "num_hidden_layers": 48, "num_local_experts": 16, "torch_dtype": "bfloat16"})"},
    {"Granite-3.1-1B-A400M", "ibm-granite/granite-3.1-1b-a400m-base", "ibm-granite/granite-3.1-1b-a400m-instruct",
     "bfloat16",
     R"({"architectures": ["GraniteMoeForCausalLM"], "attention_bias": false, "attention_multiplier": 0.015625,
     "embedding_multiplier": 12.0, "hidden_size": 1024, "intermediate_size": 512, "logits_scaling": 6.0,
     "max_position_embeddings": 131072, "num_attention_heads": 16, "num_experts_per_tok": 8, "num_hidden_layers": 24,
     "num_key_value_heads": 8, "num_local_experts": 32, "residual_multiplier": 0.22, "rms_norm_eps": 1e-06,
     "rope_theta": 1500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 49155})"},
    {"Granite-3.1-3B-A800M", "ibm-granite/granite-3.1-3b-a800m-base", "ibm-granite/granite-3.1-3b-a800m-instruct",
     "bfloat16",
     R"({"architectures": ["GraniteMoeForCausalLM"], "attention_bias": false, "attention_multiplier": 0.015625,
     "embedding_multiplier": 12.0, "hidden_size": 1536, "intermediate_size": 512, "logits_scaling": 6.0,
     "max_position_embeddings": 131072, "num_attention_heads": 24, "num_experts_per_tok": 8, "num_hidden_layers": 32,
     "num_key_value_heads": 8, "num_local_experts": 40, "residual_multiplier": 0.22, "rms_norm_eps": 1e-06,
     "rope_theta": 1500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 49155})"},
};

// "mistralai/Mixtral-8x7B" -> "mixtral-8x7b"
std::string short_name(std::string_view name) {
  const size_t slash = name.rfind('/');
  return absl::AsciiStrToLower(std::string(slash == std::string_view::npos ? name : name.substr(slash + 1)));
}

// A whole repository must be equal as a whole; a name alone is compared with the last part.
bool names(std::string_view candidate, std::string_view name) {
  if (name.find('/') == std::string_view::npos) return short_name(candidate) == short_name(name);
  return absl::AsciiStrToLower(std::string(candidate)) == absl::AsciiStrToLower(std::string(name));
}

}  // namespace

std::span<const KnownModel> known_models() { return kModels; }

const KnownModel* find_known_model(std::string_view name) {
  for (const KnownModel& known : kModels) {
    if (names(known.name, name) || names(known.repository, name)) return &known;
    const std::vector<std::string> others = absl::StrSplit(std::string(known.also), ' ', absl::SkipEmpty());
    for (const std::string& other : others) {
      if (names(other, name)) return &known;
    }
  }
  return nullptr;
}

absl::StatusOr<model::ModelConfig> known_config(std::string_view name) {
  const KnownModel* known = find_known_model(name);
  if (known == nullptr) {
    std::string list;
    for (const KnownModel& row : kModels) absl::StrAppend(&list, list.empty() ? "" : ", ", std::string(row.name));
    return absl::NotFoundError(absl::StrCat(std::string(name), ": not a known model; known are ", list));
  }
  ASSIGN_OR_RETURN(const base::JsonValue config, base::parse_json(known->config, {}));
  return model::parse_config(config);
}

}  // namespace polymath::plan
