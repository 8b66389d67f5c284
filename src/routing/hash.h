#pragma once

// A seeded hash of the token's id picks its experts; weights are 1/k. Logits are not read and may be null.
// Source: Hash Layers (arXiv:2106.04426), one random expert a token; k > 1 draws without replacement.

#include "routing/row.h"

namespace polymath::routing {

// The finaliser of MurmurHash3: each bit of x flips about half of the result's bits.
HOST_DEVICE inline uint32_t mix_bits(uint32_t x) {
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  return x ^ (x >> 16);
}

HOST_DEVICE inline void hash(const RouterConfig& config, const float* /*logits*/, const float* /*bias*/, int32_t token,
                             int32_t* expert_ids, float* expert_weights) {
  ROW_SCRATCH int32_t taken[kTopKMax];  // the experts so far, rising
  uint32_t state = mix_bits(config.hash_seed ^ 0x9e3779b9u) ^ static_cast<uint32_t>(token);
  for (int j = 0; j < config.top_k; ++j) {
    state = mix_bits(state + static_cast<uint32_t>(j) + 1);
    // Draw one of the n - j experts left. Its id among all is one higher for each taken id at or below it.
    int32_t id = static_cast<int32_t>((static_cast<uint64_t>(state) * (config.n_experts - j)) >> 32);
    int at = 0;
    for (; at < j && taken[at] <= id; ++at) ++id;
    for (int i = j; i > at; --i) taken[i] = taken[i - 1];
    taken[at] = id;
    expert_ids[j] = id;
    expert_weights[j] = config.weight_scale / config.top_k;
  }
}

}  // namespace polymath::routing
