#pragma once

// The k best logits, each weighted by its own sigmoid. Source: Llama 4.
// Llama 4 multiplies the weight into the expert's INPUT, not its output; the MoE layer does that.

#include "routing/row.h"

namespace polymath::routing {

HOST_DEVICE inline void sigmoid_topk(const RouterConfig& config, const float* logits, const float* /*bias*/,
                                     int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  if (row_is_broken(logits, config.n_experts)) {
    return route_broken_row(config.top_k, expert_ids, expert_weights);
  }
  choose_top_k(logits, config.n_experts, config.top_k, expert_ids);
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = sigmoid(logits[expert_ids[j]]);
  if (config.normalize) normalize_weights(config, expert_weights);
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
