// Dense decoders: Llama, Mistral, Qwen2 (biases on q, k, v) and Qwen3 (norms of each head). Ministral 3 scales queries
// by position. Sources: config.json of meta-llama/Llama-3.1-8B, mistralai/Mistral-7B-v0.1 and Ministral-3-8B-Base-2512,
// Qwen/Qwen2-7B, Qwen/Qwen3-8B.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

struct Kind {
  bool qkv_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  WindowRules windows = {};
  bool temperature = false;
};

ModelConfig parse_dense(base::JsonReader& j, const Kind& kind) {
  ModelConfig c = base_config(j);
  GroupedQuery a =
      grouped_query_attention(j, c, {.by_layer_type = kind.windows.layers == Windows::kFromMaxWindowLayers});
  a.qkv_bias = a.qkv_bias || kind.qkv_bias;
  a.qk_norm = kind.qk_norm;
  if (kind.temperature) a.temperature = parse_temperature(j, a.rope);
  set_attention(j, c, a, kind.windows);
  for (auto& layer : c.layers) layer.ffns = {dense_ffn(j.i("intermediate_size"))};
  if (j.b("mlp_bias", false)) j.complain("mlp_bias", "biases in a dense feed-forward are not built yet");
  return c;
}

ModelConfig parse_llama(base::JsonReader& j) { return parse_dense(j, {}); }
ModelConfig parse_mistral(base::JsonReader& j) { return parse_dense(j, {.windows = {Windows::kEvery}}); }
ModelConfig parse_ministral3(base::JsonReader& j) {
  return parse_dense(j, {.windows = {Windows::kEvery}, .temperature = true});
}
constexpr WindowRules kQwenWindows = {.layers = Windows::kFromMaxWindowLayers, .switched = true};

ModelConfig parse_qwen2(base::JsonReader& j) { return parse_dense(j, {.qkv_bias = true, .windows = kQwenWindows}); }
ModelConfig parse_qwen3(base::JsonReader& j) {
  return parse_dense(j, {.qk_norm = QkNorm::kHead, .windows = kQwenWindows});
}
ModelConfig parse_qwen3_vl(base::JsonReader& j) { return parse_dense(j, {.qk_norm = QkNorm::kHead}); }

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  add_ffn_rows(rows, "dense", "mlp");
  return rows;
}

}  // namespace

extern const Architecture kLlama{.names = {"LlamaForCausalLM"},
                                 .parse = parse_llama,
                                 .weights = weights,
                                 .keys = {.model_types = {"llama"}, .defaults = R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false, "rope_theta": 10000})"}};
extern const Architecture kMistral{.names = {"MistralForCausalLM"},
                                   .parse = parse_mistral,
                                   .weights = weights,
                                   .keys = {.model_types = {"mistral"}, .defaults = R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "sliding_window": 4096, "rope_theta": 10000})"}};
extern const Architecture kMinistral3{
    .names = {"Ministral3ForCausalLM"},
    .parse = parse_ministral3,
    .weights = weights,
    .keys = {.model_types = {"ministral3"},
             .defaults = R"({
    "vocab_size": 131072, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 34,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "rope_theta": 10000,
    "rope_parameters": {"type": "yarn", "rope_theta": 1e6, "factor": 16, "original_max_position_embeddings": 16384,
                        "beta_fast": 32, "beta_slow": 1, "mscale_all_dim": 1, "mscale": 1,
                        "llama_4_scaling_beta": 0.1}})",
             .harmless = {"rope_parameters.max_position_embeddings", "rope_scaling.max_position_embeddings"}}};
extern const Architecture kQwen2{.names = {"Qwen2ForCausalLM"},
                                 .parse = parse_qwen2,
                                 .weights = weights,
                                 .keys = {.model_types = {"qwen2"}, .defaults = R"({
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096,
    "max_window_layers": 28, "rope_theta": 10000})"}};
extern const Architecture kQwen3{.names = {"Qwen3ForCausalLM"},
                                 .parse = parse_qwen3,
                                 .weights = weights,
                                 .keys = {.model_types = {"qwen3"}, .defaults = R"({
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128,
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false,
    "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28, "rope_theta": 10000})"}};
// The text parts of Qwen2-VL, Qwen2.5-VL and Qwen3-VL. The first two have their text's keys at the top level, too.
constexpr std::string_view kQwen2VlDefaults = R"({
    "vocab_size": 152064, "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 32768, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 80,
    "rope_theta": 1000000})";

extern const Architecture kQwen2Vl{
    .names = {"Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration"},
    .parse = parse_qwen2,
    .weights = weights,
    .keys = {.model_types = {"qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"},
             .defaults = kQwen2VlDefaults,
             .harmless = {"vision_config"}}};
extern const Architecture kQwen3Vl{.names = {"Qwen3VLForConditionalGeneration"},
                                   .parse = parse_qwen3_vl,
                                   .weights = weights,
                                   .keys = {.model_types = {"qwen3_vl", "qwen3_vl_text"}, .defaults = R"({
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "attention_bias": false,
    "rope_theta": 500000})"}};

}  // namespace polymath::model
