#pragma once

// Routing over a whole step, on the host: expert choice, soft MoE, capacity. routing/batch.h has the formulas.

#include <vector>

#include "backend/backend.h"
#include "routing/batch.h"

namespace polymath::layers {

// Fills `routing` [n, n_experts]. Column e holds e where expert e chose the token, else -1.
void choose_by_experts(backend::Backend& backend, const routing::RouterConfig& config, float capacity_factor,
                       const tensor::Tensor& logits, const backend::Routing& routing);

// Choices over an expert's capacity get id -1 and weight 0. Returns how many.
int drop_over_capacity(backend::Backend& backend, const routing::RouterConfig& config, float capacity_factor,
                       const backend::Routing& routing);

struct SoftMixture {
  routing::SoftMoe mixture;
  std::vector<float> slot_inputs;  // [slots, hidden]
  int64_t n_tokens = 0, n_slots = 0;
};
// logits [n, slots], x [n, hidden] act.
SoftMixture mix_slots(backend::Backend& backend, const tensor::Tensor& logits, const tensor::Tensor& x);
// out[t] += scale * sum over slots of combine[t][slot] * outputs[slot].
void combine_slots(backend::Backend& backend, const SoftMixture& mixture, const tensor::Tensor& outputs, float scale,
                   const tensor::Tensor& out);

}  // namespace polymath::layers
