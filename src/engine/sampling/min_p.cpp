// Cuts ids less likely than min_p times the most likely one. Source: arXiv:2407.01082.

#include <cmath>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return row.params.min_p > 0; }

void apply(Row& row) {
  const float best = row.logits[best_id(row.logits)];
  if (best == kNever) return;
  row.raise_floor({best + std::log(row.params.min_p), std::numeric_limits<int32_t>::max()});
}

}  // namespace

extern const SamplingStep kMinP{"min_p", applies, apply, true, true};

}  // namespace polymath::engine
