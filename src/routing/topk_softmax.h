#pragma once

// The k best logits, then a softmax over those k alone. The logits include the router's bias.
// Sources: gpt-oss (arXiv:2508.10925), Granite-MoE.

#include "routing/row.h"

namespace polymath::routing {

HOST_DEVICE inline void topk_softmax(const RouterConfig& config, const float* logits, const float* /*bias*/,
                                     int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  if (row_is_broken(logits, config.n_experts)) {
    return route_broken_row(config.top_k, expert_ids, expert_weights);
  }
  choose_top_k(logits, config.n_experts, config.top_k, expert_ids);
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = logits[expert_ids[j]];
  Softmax softmax;
  if (!softmax_of(expert_weights, config.top_k, &softmax)) {
    return route_broken_row(config.top_k, expert_ids, expert_weights);
  }
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = softmax(expert_weights[j]);
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
