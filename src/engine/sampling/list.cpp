#include "engine/sampling/row.h"

namespace polymath::engine {

// In the order in which a row passes them; vLLM's order.
std::span<const SamplingStep> sampling_steps() {
  static const SamplingStep steps[] = {
      kLogitBias, kAllowedIds, kMask, kBadIds, kMinTokens, kPenalties, kTemperature, kMinP, kTopK, kTopP,
  };
  return steps;
}

}  // namespace polymath::engine
