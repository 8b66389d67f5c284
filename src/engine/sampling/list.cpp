#include "engine/sampling/row.h"

namespace polymath::engine {

// In the order in which a row passes them: vLLM's, then what TGI has behind it.
std::span<const SamplingStep> sampling_steps() {
  static const SamplingStep steps[] = {
      kLogitBias, kAllowedIds, kMask, kBadIds, kMinTokens, kPenalties, kTemperature, kMinP, kTopK, kTopP, kTypicalP,
  };
  return steps;
}

}  // namespace polymath::engine
