// Source: the GGUF specification's tensor names (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), and those
// of llama.cpp's converter. Experts are stacked, with gate and up in tensors of their own. Files of before April 2024
// have a tensor an expert.

#include "model/loading/gguf_rows.h"

#include <algorithm>

namespace polymath::model {
namespace {

// Architectures whose converter lays the rows of a head's halves side by side, in q and k.
constexpr std::string_view kPairedHeads[] = {
    "MixtralForCausalLM",  "LlamaForCausalLM",      "MistralForCausalLM",          "Ministral3ForCausalLM",
    "DeepseekForCausalLM", "GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM", "BailingMoeForCausalLM",
};

void add_attention(std::vector<WeightRow>& rows, const std::string& b) {
  rows.insert(rows.end(), {
                              {"layer.{l}.qkv", {b + "attn_q.weight", b + "attn_k.weight", b + "attn_v.weight"}},
                              {"layer.{l}.qkv", {b + "attn_qkv.weight"}},
                              {"layer.{l}.qkv_bias", {b + "attn_q.bias", b + "attn_k.bias", b + "attn_v.bias"}},
                              {"layer.{l}.qkv_bias", {b + "attn_qkv.bias"}},
                              {"layer.{l}.q_norm", {b + "attn_q_norm.weight"}},
                              {"layer.{l}.k_norm", {b + "attn_k_norm.weight"}},
                              {"layer.{l}.sinks", {b + "attn_sinks.weight"}},
                              {"layer.{l}.attn_gate", {b + "attn_gate.weight"}},
                              {"layer.{l}.attn_out", {b + "attn_output.weight"}},
                              {"layer.{l}.attn_out_bias", {b + "attn_output.bias"}},
                          });
}

// Multi-head latent attention: kv_b whole, or its halves apart and the keys' transposed.
void add_latent_attention(std::vector<WeightRow>& rows, const std::string& b) {
  rows.insert(rows.end(), {
                              {"layer.{l}.q_kv_a", {b + "attn_q.weight", b + "attn_kv_a_mqa.weight"}},
                              {"layer.{l}.q_a_kv_a", {b + "attn_q_a.weight", b + "attn_kv_a_mqa.weight"}},
                              {"layer.{l}.q_a_norm", {b + "attn_q_a_norm.weight"}},
                              {"layer.{l}.q_b", {b + "attn_q_b.weight"}},
                              {"layer.{l}.kv_a_norm", {b + "attn_kv_a_norm.weight"}},
                              {"layer.{l}.key_up", {b + "attn_k_b.weight"}, Layout::kStacked},
                              {"layer.{l}.key_up", {b + "attn_kv_b.weight"}, Layout::kFlatT},
                              {"layer.{l}.value_up", {b + "attn_v_b.weight"}, Layout::kStacked},
                              {"layer.{l}.value_up", {b + "attn_kv_b.weight"}, Layout::kFlat},
                          });
}

void add_feed_forward(std::vector<WeightRow>& rows, const std::string& b) {
  rows.insert(
      rows.end(),
      {
          {"layer.{l}.dense.gate_up", {b + "ffn_gate.weight", b + "ffn_up.weight"}},
          {"layer.{l}.dense.down", {b + "ffn_down.weight"}},
          {"layer.{l}.shared.router", {b + "ffn_gate_inp_shexp.weight"}},
          {"layer.{l}.shared.gate_up", {b + "ffn_gate_shexp.weight", b + "ffn_up_shexp.weight"}},
          {"layer.{l}.shared.down", {b + "ffn_down_shexp.weight"}},
          {"layer.{l}.experts.router", {b + "ffn_gate_inp.weight"}},
          {"layer.{l}.experts.router_bias", {b + "ffn_gate_inp.bias"}},
          {"layer.{l}.experts.selection_bias", {b + "exp_probs_b.bias"}},
          {"layer.{l}.experts.selection_bias", {b + "exp_probs_b"}},
          {"layer.{l}.experts.gate_up", {b + "ffn_gate_exps.weight", b + "ffn_up_exps.weight"}, Layout::kStacked},
          {"layer.{l}.experts.gate_up", {b + "ffn_gate_up_exps.weight"}, Layout::kStacked},
          {"layer.{l}.experts.gate_up", {b + "ffn_gate.{e}.weight", b + "ffn_up.{e}.weight"}},
          {"layer.{l}.experts.gate_up_bias", {b + "ffn_gate_exps.bias", b + "ffn_up_exps.bias"}, Layout::kStacked},
          {"layer.{l}.experts.down", {b + "ffn_down_exps.weight"}, Layout::kStacked},
          {"layer.{l}.experts.down", {b + "ffn_down.{e}.weight"}},
          {"layer.{l}.experts.down_bias", {b + "ffn_down_exps.bias"}, Layout::kStacked},
      });
}

}  // namespace

std::vector<WeightRow> gguf_rows(std::string_view architecture) {
  const std::string b = "blk.{l}.";
  std::vector<WeightRow> rows = {
      {"embed", {"token_embd.weight"}},
      {"layer.{l}.attn_norm", {b + "attn_norm.weight"}},
      {"layer.{l}.attn_norm_bias", {b + "attn_norm.bias"}},
      {"layer.{l}.attn_post_norm", {b + "post_attention_norm.weight"}},
      {"layer.{l}.ffn_norm", {b + "ffn_norm.weight"}},
      {"layer.{l}.ffn_norm", {b + "post_attention_norm.weight"}},
      {"layer.{l}.ffn_norm", {b + "attn_output_norm.weight"}},
      {"layer.{l}.ffn_norm_bias", {b + "ffn_norm.bias"}},
      {"layer.{l}.ffn_post_norm", {b + "post_ffw_norm.weight"}},
      {"final_norm", {"output_norm.weight"}},
      {"final_norm_bias", {"output_norm.bias"}},
      {"lm_head", {"output.weight"}},
      {"lm_head_bias", {"output.bias"}},
  };
  add_attention(rows, b);
  add_latent_attention(rows, b);
  add_feed_forward(rows, b);
  const bool paired =
      std::find(std::begin(kPairedHeads), std::end(kPairedHeads), architecture) != std::end(kPairedHeads);
  for (WeightRow& row : rows) row.paired_heads = paired && row.slot.starts_with("layer.{l}.qkv");
  return rows;
}

}  // namespace polymath::model
