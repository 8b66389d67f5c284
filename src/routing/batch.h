#pragma once

// Routing that looks at a whole batch: expert choice, soft MoE, and capacity with token dropping.
// Host reference functions; a batch is [n_tokens, n_experts] logits.

#include <cstdint>
#include <vector>

#include "routing/router.h"

namespace polymath::routing {

// Expert choice: each expert takes its `capacity` best tokens, by softmax over experts
// (Zhou et al., arXiv:2202.09368). A token may be taken by no expert or by many.
struct ExpertChoice {
  int capacity = 0;
  std::vector<int32_t> token_ids;  // [n_experts, capacity], by falling score; ties: the lower token first
  std::vector<float> weights;      // [n_experts, capacity]
};
// capacity = max(1, ceil(n_tokens * capacity_factor / n_experts)), at most n_tokens.
ExpertChoice expert_choice(const RouterConfig& config, const float* logits, int n_tokens, float capacity_factor);

// Soft MoE (Puigcerver et al., arXiv:2308.00951), with `slots` slots an expert; logits [n_tokens, n_experts * slots]:
// dispatch = softmax over tokens (columns), combine = softmax over slots (rows); both [n_tokens, n_experts * slots].
struct SoftMoe {
  std::vector<float> dispatch, combine;
};
SoftMoe soft_moe(const float* logits, int n_tokens, int n_slots_total);

// Capacity (GShard, Switch: arXiv:2101.03961): an expert keeps the first ceil(n_tokens * top_k * factor / n_experts)
// of its tokens, in order of choice rank, then of token; the others' weight becomes 0 and their id -1. Returns how
// many were dropped. factor <= 0: no capacity, nothing is dropped.
int apply_capacity(const RouterConfig& config, float factor, int n_tokens, int32_t* expert_ids, float* expert_weights);

}  // namespace polymath::routing
