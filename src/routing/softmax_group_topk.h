#pragma once

// Softmax over all experts. A group's score is its best expert's. The best groups give the k best.
// This limits the devices a token visits. Source: DeepSeek-V2 (arXiv:2405.04434, section 2.2.2),
// "group_limited_greedy".

#include "routing/row.h"

namespace polymath::routing {

HOST_DEVICE inline void softmax_group_topk(const RouterConfig& config, const float* logits, const float* /*bias*/,
                                           int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  Softmax softmax;
  if (!softmax_of(logits, config.n_experts, &softmax)) {
    return route_broken_row(config.top_k, expert_ids, expert_weights);
  }
  const int group_size = config.n_experts / config.n_groups;
  ROW_SCRATCH float choice[kExpertsMax];
  ROW_SCRATCH float group_scores[kExpertsMax];
  for (int g = 0; g < config.n_groups; ++g) {
    group_scores[g] = -INFINITY;
    for (int i = g * group_size; i < (g + 1) * group_size; ++i) {
      choice[i] = logits[i];
      group_scores[g] = choice[i] > group_scores[g] ? choice[i] : group_scores[g];
    }
  }
  mask_groups(config, group_scores, choice);
  choose_top_k(choice, config.n_experts, config.top_k, expert_ids);
  // Read `choice`, not `logits`: an expert of a masked group must weigh exp(-inf) = 0.
  for (int j = 0; j < config.top_k; ++j) expert_weights[j] = softmax(choice[expert_ids[j]]);
  if (config.normalize) normalize_weights(config, expert_weights);
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
