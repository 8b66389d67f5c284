#pragma once

// Softmax over all experts. Selection by probability + bias; weights are probabilities, always normalised.
// Source: ERNIE-4.5 (technical report, 2025; moe_norm_min is `normalize_min`).

#include "routing/row.h"

namespace polymath::routing {

HOST_DEVICE inline void softmax_bias_topk(const RouterConfig& config, const float* logits, const float* bias,
                                          int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  const int n = config.n_experts;
  Softmax softmax;
  if (!softmax_of(logits, n, &softmax)) return route_broken_row(config.top_k, expert_ids, expert_weights);
  ROW_SCRATCH float choice[kExpertsMax];
  for (int i = 0; i < n; ++i) choice[i] = softmax(logits[i]) + (bias != nullptr ? bias[i] : 0.0f);
  if (row_is_broken(choice, n)) return route_broken_row(config.top_k, expert_ids, expert_weights);
  choose_top_k(choice, n, config.top_k, expert_ids);
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = softmax(logits[expert_ids[j]]);
  normalize_weights(config, expert_weights);
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
