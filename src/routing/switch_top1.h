#pragma once

// The best expert, weighted by its probability among all. REQUIRES: top_k == 1.
// Source: Switch Transformer (arXiv:2101.03961, section 2.1). Its capacity is routing/batch.h.

#include "routing/row.h"

namespace polymath::routing {

HOST_DEVICE inline void switch_top1(const RouterConfig& config, const float* logits, const float* /*bias*/,
                                    int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  Softmax softmax;
  if (!softmax_of(logits, config.n_experts, &softmax)) return route_broken_row(1, expert_ids, expert_weights);
  choose_top_k(logits, config.n_experts, 1, expert_ids);
  expert_weights[0] = softmax(logits[expert_ids[0]]) * config.weight_scale;
}

}  // namespace polymath::routing
