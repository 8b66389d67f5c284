#pragma once

// A step of gated feed-forward networks, in one run of the threads.

#include "backend/cpu/context.h"

namespace polymath::backend::cpu {

struct ExpertStep {
  const ExpertMlp* mlp = nullptr;
  const Tensor* x = nullptr;
  const Routing* routing = nullptr;
  const ExpertGroups* groups = nullptr;
  const Tensor* out = nullptr;
};

// 1. Packs the rows of each expert.
// 2. Gate and up, tile by tile in the order of memory. A tile's epilogue applies the activation and packs the
//    intermediate rows.
// 3. Down, by output columns, so that no two threads write one element. Each thread goes through the experts in order
//    and adds to `out`. A token's sum is therefore in the order of expert ids, in every step.
void expert_mlp(Context& context, const ExpertStep& step);

}  // namespace polymath::backend::cpu
