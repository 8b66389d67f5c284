#pragma once

// Routing of a whole batch: expert choice, soft MoE, capacity.
// Host reference functions; a batch is [n_tokens, n_experts] logits.

#include <cstdint>
#include <vector>

#include "routing/router.h"

namespace polymath::routing {

// Expert choice (Zhou et al., arXiv:2202.09368). Each expert takes its `capacity` best tokens by softmax over experts.
// Several experts may take a token, or none.
struct ExpertChoice {
  int capacity = 0;
  std::vector<int32_t> token_ids;  // [n_experts, capacity], by falling score; ties: the lower token first
  std::vector<float> weights;      // [n_experts, capacity]
};
// capacity = max(1, ceil(n_tokens * capacity_factor / n_experts)), at most n_tokens.
ExpertChoice expert_choice(const RouterConfig& config, const float* logits, int n_tokens, float capacity_factor);

// Soft MoE (Puigcerver et al., arXiv:2308.00951). `dispatch` is a softmax over tokens, `combine` over slots.
// Logits, dispatch and combine: [n_tokens, n_experts * slots], with `slots` slots an expert.
struct SoftMoe {
  std::vector<float> dispatch, combine;
};
SoftMoe soft_moe(const float* logits, int n_tokens, int n_slots_total);

// Capacity (GShard, Switch: arXiv:2101.03961). An expert keeps its first ceil(n_tokens * top_k * factor / n_experts)
// tokens, ordered by choice rank, then by token. A dropped choice gets id -1 and weight 0. Returns the number of
// dropped choices. factor <= 0: nothing is dropped.
int apply_capacity(const RouterConfig& config, float factor, int n_tokens, int32_t* expert_ids, float* expert_weights);

}  // namespace polymath::routing
