#pragma once

// Each round takes the best expert left. Its weight is a softmax over its near rivals. Rivals more than
// 2 * jitter_eps (relative) below it are masked, as are experts taken before.
// Source: SparseMixer-v2 (arXiv:2409.12136), as Phi-MoE uses it for inference with two experts.

#include "routing/row.h"

namespace polymath::routing {

// (best - score) / max(|score|, best) > 2 * jitter_eps.
// 0 / 0 and inf / inf are NaN, which masks nothing. The score is then the best itself, or -inf with weight 0.
HOST_DEVICE inline bool is_far_below(const RouterConfig& config, float best, float score) {
  const float magnitude = fabsf(score);
  return (best - score) / (magnitude > best ? magnitude : best) > 2 * config.jitter_eps;
}

HOST_DEVICE inline void sparsemixer(const RouterConfig& config, const float* logits, const float* /*bias*/,
                                    int32_t /*token*/, int32_t* expert_ids, float* expert_weights) {
  const int n = config.n_experts;
  if (row_is_broken(logits, n)) return route_broken_row(config.top_k, expert_ids, expert_weights);
  choose_top_k(logits, n, config.top_k, expert_ids);
  for (int j = 0; j < config.top_k; ++j) {
    const float best = logits[expert_ids[j]];
    // No finite rival is left: this round has no softmax.
    if (isinf(best)) return route_broken_row(config.top_k, expert_ids, expert_weights);
    float sum = 0;
    for (int i = 0; i < n; ++i) {
      bool taken = false;
      for (int earlier = 0; earlier < j; ++earlier) taken = taken || expert_ids[earlier] == i;
      if (!taken && !is_far_below(config, best, logits[i])) sum += expf(logits[i] - best);
    }
    expert_weights[j] = 1.0f / sum;
  }
  scale_weights(config, expert_weights);
}

}  // namespace polymath::routing
