#pragma once

// One layer's attention, of any kind. A kind has a config struct with GroupedQuery's members and a layer in the same
// file. layers/attention.h lists the kinds.

#include "kvcache/cache_spec.h"
#include "layers/slot.h"
#include "layers/step_context.h"
#include "layers/step_cost.h"

namespace polymath::layers {

class AttentionLayer {
 public:
  virtual ~AttentionLayer() = default;
  // h [n, hidden] f32 += attention of x [n, hidden] act, in the residual's scale.
  virtual void run(const StepContext& ctx, const backend::Tensor& x, const backend::Tensor& h) const = 0;
  // Without the cache's bytes.
  virtual void add_cost(const StepExtent& extent, StepCost& cost) const = 0;
};

// Scales a query by its position p: log(floor((p + shift) / floor) + 1) * scale + 1. Sources: Llama 4 (shift 1);
// Ministral 3 and later Mistral models (shift 0).
struct QueryTemperature {
  float floor = 0;  // 0: nothing
  float scale = 0;
  float shift = 1;
};

}  // namespace polymath::layers
