#pragma once

// Sigmoid scores. A learned bias affects selection, never the weight. A group's score is the sum of its two best.
// Sources: DeepSeek-V3 (arXiv:2412.19437, section 2.1.2), GLM-4-MoE with one group ("noaux_tc").

#include "routing/row.h"

namespace polymath::routing {

// A group's score: the sum of its two best experts' scores, or the score of its only one.
HOST_DEVICE inline float two_best_sum(const float* choice, int n) {
  float first = -INFINITY;
  float second = -INFINITY;
  for (int i = 0; i < n; ++i) {
    if (choice[i] > first) {
      second = first;
      first = choice[i];
    } else if (choice[i] > second) {
      second = choice[i];
    }
  }
  return n == 1 ? first : first + second;
}

HOST_DEVICE inline void sigmoid_group_topk(const RouterConfig& config, const float* logits, const float* bias,
                                           int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  const int n = config.n_experts;
  ROW_SCRATCH float choice[kExpertsMax];
  for (int i = 0; i < n; ++i) choice[i] = sigmoid(logits[i]) + (bias != nullptr ? bias[i] : 0.0f);
  if (row_is_broken(logits, n) || row_is_broken(choice, n)) {
    return route_broken_row(config.top_k, expert_ids, expert_weights);
  }
  if (config.n_groups > 1) {
    const int group_size = n / config.n_groups;
    ROW_SCRATCH float group_scores[kExpertsMax];
    for (int g = 0; g < config.n_groups; ++g) group_scores[g] = two_best_sum(choice + g * group_size, group_size);
    mask_groups(config, group_scores, choice);
  }
  choose_top_k(choice, n, config.top_k, expert_ids);
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = sigmoid(logits[expert_ids[j]]);
  if (config.normalize) normalize_weights(config, expert_weights);
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
