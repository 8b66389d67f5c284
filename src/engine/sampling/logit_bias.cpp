// Adds the client's bias to single logits.

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return !row.params.logit_bias.empty(); }

void apply(Row& row) {
  for (const auto& [id, bias] : row.params.logit_bias) row.logits[id] += bias;
}

}  // namespace

extern const SamplingStep kLogitBias{"logit_bias", applies, apply, false, false};

}  // namespace polymath::engine
