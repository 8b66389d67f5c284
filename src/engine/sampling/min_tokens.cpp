// Excludes stop and eos ids before min_tokens.

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return static_cast<int>(row.output.size()) + row.n_unknown < row.params.min_tokens; }

void apply(Row& row) {
  for (const int32_t id : row.params.stop_ids) row.logits[id] = kNever;
  if (row.params.ignore_eos) return;  // then they do not end the request
  for (const int32_t id : row.params.eos_ids) row.logits[id] = kNever;
}

}  // namespace

extern const SamplingStep kMinTokens{"min_tokens", applies, apply, false, false};

}  // namespace polymath::engine
