#pragma once

// One gated feed-forward block as data: routed experts, a shared expert, or a dense layer. A dense layer is one expert
// without a router.

#include <algorithm>
#include <string>

#include "backend/params.h"
#include "layers/slot.h"
#include "layers/step_context.h"
#include "routing/router.h"

namespace polymath::layers {

struct FfnConfig {
  std::string role;                 // "experts", "shared" or "dense": the name of its slots
  routing::RouterConfig router;     // n_experts 1 and no routing: dense
  std::string routing;              // a name of routing/list; empty: every token visits expert 0 with weight 1
  bool router_linear_bias = false;  // added to the logits
  bool selection_bias = false;      // moves the selection only
  int intermediate = 0;
  backend::GluParams glu;
  bool expert_bias = false;
  bool weight_on_input = false;
  float capacity_factor = 0;  // > 0: an expert's tokens of a step are bounded (routing/batch.h); expert_choice needs it
  int slots = 0;              // of an expert, under soft_moe
  parallel::Slice local;      // of one rank: the experts that it has; count 0: all of them
  int copies_max = 0;         // > 0: `local` are slots, an expert is in up to so many of all, and it may move

  absl::Status check() const;
  void add_slots(SlotList& slots, int64_t hidden) const;
  // Becomes one rank's part: some experts (Rank::whole_experts), or a slice of each one's intermediate size.
  absl::Status split(parallel::Rank rank);
  // The backend's scratch. MoeScratch has the layer's own.
  void reserve(StepNeeds& needs) const;
  // What a backend sizes scratch by. `dtype`: of the kept weights. Of soft routing the slots are the pairs.
  backend::ExpertShape expert_shape(int64_t tokens, int64_t hidden, backend::DType dtype) const {
    const int64_t pairs = std::max(tokens * router.top_k, int64_t{router.n_experts} * slots);
    return {router.n_experts, hidden, intermediate, pairs, dtype};
  }
  // Whether every token is routed by itself, on the device (MoeLayer::by_token).
  bool by_token() const {
    return routing.empty() || (routing::find_router(routing) != nullptr && capacity_factor <= 0);
  }
  int64_t router_width() const { return static_cast<int64_t>(router.n_experts) * (slots > 1 ? slots : 1); }
};

}  // namespace polymath::layers
