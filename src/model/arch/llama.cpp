// Dense decoders: Llama, Mistral, Qwen2 (biases on q, k, v) and Qwen3 (norms of each head).
// Sources: config.json of meta-llama/Llama-3.1-8B, mistralai/Mistral-7B-v0.1, Qwen/Qwen2-7B, Qwen/Qwen3-8B.

#include "model/arch/shared.h"

namespace polymath::model {
namespace {

ModelConfig parse_dense(base::JsonReader& j, bool qkv_bias, QkNorm qk_norm) {
  ModelConfig c = base_config(j);
  GroupedQuery a = grouped_query_attention(j, c, 10000);
  a.qkv_bias = a.qkv_bias || qkv_bias;
  a.qk_norm = qk_norm;
  set_attention(j, c, a);
  for (auto& layer : c.layers) layer.ffns = {dense_ffn(j.i("intermediate_size"))};
  if (j.b("mlp_bias", false)) j.complain("mlp_bias", "biases in a dense feed-forward are not built yet");
  return c;
}

ModelConfig parse_llama(base::JsonReader& j) { return parse_dense(j, false, QkNorm::kNone); }
ModelConfig parse_qwen2(base::JsonReader& j) { return parse_dense(j, true, QkNorm::kNone); }
ModelConfig parse_qwen3(base::JsonReader& j) { return parse_dense(j, false, QkNorm::kHead); }

std::vector<WeightRow> weights(const ModelConfig&) {
  auto rows = llama_rows();
  add_ffn_rows(rows, "dense", "mlp");
  return rows;
}

}  // namespace

extern const Architecture kLlama{{"LlamaForCausalLM", "MistralForCausalLM"}, parse_llama, weights};
extern const Architecture kQwen2{{"Qwen2ForCausalLM"}, parse_qwen2, weights};
extern const Architecture kQwen3{{"Qwen3ForCausalLM"}, parse_qwen3, weights};

}  // namespace polymath::model
