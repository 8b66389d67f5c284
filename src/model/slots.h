#pragma once

// The places that weights go to, and their shapes, as the ModelConfig has them.
//
//   embed, final_norm, final_norm_bias, lm_head, lm_head_bias
//   layer.{l}.attn_norm, attn_norm_bias, ffn_norm, ffn_norm_bias
//   layer.{l}.qkv, qkv_bias, q_norm, k_norm, sinks, attn_out, attn_out_bias
//   layer.{l}.q_kv_a or q_a_kv_a, q_a_norm, q_b, kv_a_norm, key_up, value_up  (MLA)
//   layer.{l}.<role>.router, router_bias, selection_bias, gate_up, gate_up_bias, down, down_bias
//                                                                            (<role>: experts, shared, dense)

#include <vector>

#include "layers/slot.h"
#include "model/config.h"

namespace polymath::model {

using layers::Slot;

// Every slot of the model, in loading order.
std::vector<Slot> slots(const ModelConfig& config);
// Those of a pipeline stage. `config`: of the whole model.
std::vector<Slot> slots(const ModelConfig& config, const parallel::Stage& stage);

}  // namespace polymath::model
