// Divides the logits by the temperature: above 1 flattens, below 1 sharpens.

#include "engine/sampling/params.h"
#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return row.params.temperature != 1 && !is_greedy(row.params); }

void apply(Row& row) {
  const float inverse = 1 / row.params.temperature;
  for (float& logit : row.logits) logit *= inverse;
}

}  // namespace

extern const SamplingStep kTemperature{"temperature", applies, apply, false, true};

}  // namespace polymath::engine
