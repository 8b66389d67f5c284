#pragma once

// The least that one GPU reads and computes in a step: the numerators of a roofline (Williams et al., 2009). Experts
// are drawn uniformly.

#include <cstdint>
#include <vector>

namespace polymath::plan {

// A step of one data-parallel group.
struct StepExtent {
  double tokens = 0;
  double all_tokens = 0;  // of all data-parallel groups: what experts see
  double logit_rows = 0;
  double context = 0;  // tokens with KV of each sequence
  double sequences = 0;
  double pairs = 0;  // (query, key) pairs of causal attention, without windows
};

// The experts of equal layers.
struct ExpertWork {
  int n_layers = 0;
  double experts = 0, top_k = 0;
  double on_gpu = 0;        // experts of which the GPU holds a part
  double expert_bytes = 0;  // of the part
  double pair_flops = 0;    // of a token in the part
};

// The attention of equal layers.
struct AttentionWork {
  int n_layers = 0;
  double token_bytes = 0;  // of a cached token
  double pair_flops = 0;   // of a query and a key, all heads of the GPU
  double window = 0;       // 0: all tokens are seen
};

struct StepWork {
  double dense_bytes = 0, dense_flops = 0;  // of weights that every token meets; flops a token
  double head_bytes = 0, head_flops = 0;    // of lm_head; flops a row
  std::vector<ExpertWork> experts;
  std::vector<AttentionWork> attention;

  double bytes(const StepExtent& extent) const;
  double flops(const StepExtent& extent) const;
};

// Experts of `experts` that at least one of `tokens` visits, each token `top_k` of them: E (1 - (1 - k/E)^b).
double expected_experts(double experts, double top_k, double tokens);

}  // namespace polymath::plan
