// Source: the GGUF specification's tensor names (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md); experts
// are stacked, with gate and up in tensors of their own.

#include "model/loading/gguf_rows.h"

namespace polymath::model {

std::vector<WeightRow> gguf_rows() {
  const std::string b = "blk.{l}.";
  return {
      {"embed", {"token_embd.weight"}},
      {"layer.{l}.attn_norm", {b + "attn_norm.weight"}},
      {"layer.{l}.qkv", {b + "attn_q.weight", b + "attn_k.weight", b + "attn_v.weight"}},
      {"layer.{l}.qkv_bias", {b + "attn_q.bias", b + "attn_k.bias", b + "attn_v.bias"}},
      {"layer.{l}.attn_out", {b + "attn_output.weight"}},
      {"layer.{l}.ffn_norm", {b + "ffn_norm.weight"}},
      {"layer.{l}.experts.router", {b + "ffn_gate_inp.weight"}},
      {"layer.{l}.experts.gate_up", {b + "ffn_gate_exps.weight", b + "ffn_up_exps.weight"}, Layout::kStacked},
      {"layer.{l}.experts.down", {b + "ffn_down_exps.weight"}, Layout::kStacked},
      {"layer.{l}.shared.router", {b + "ffn_gate_inp_shexp.weight"}},
      {"layer.{l}.shared.gate_up", {b + "ffn_gate_shexp.weight", b + "ffn_up_shexp.weight"}},
      {"layer.{l}.shared.down", {b + "ffn_down_shexp.weight"}},
      {"final_norm", {"output_norm.weight"}},
      {"lm_head", {"output.weight"}},
  };
}

}  // namespace polymath::model
