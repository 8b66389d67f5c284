#pragma once

// Softmax over all experts, then the k best. `normalize` makes them sum to one.
// Sources: Mixtral (arXiv:2401.04088, section 2.1), Qwen-MoE, OLMoE; DeepSeek-V2 with topk_method "greedy".

#include "routing/row.h"

namespace polymath::routing {

HOST_DEVICE inline void softmax_topk(const RouterConfig& config, const float* logits, const float* /*bias*/,
                                     int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  Softmax softmax;
  if (!softmax_of(logits, config.n_experts, &softmax)) {
    return route_broken_row(config.top_k, expert_ids, expert_weights);
  }
  choose_top_k(logits, config.n_experts, config.top_k, expert_ids);
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = softmax(logits[expert_ids[j]]);
  if (config.normalize) normalize_weights(config, expert_weights);
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
