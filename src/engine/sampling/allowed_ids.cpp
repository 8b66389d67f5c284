// Keeps only the ids that the client lists.

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return !row.params.allowed_ids.empty(); }

void apply(Row& row) {
  auto& seen = row.scratch.seen;
  for (const int32_t id : row.params.allowed_ids) seen[id] = 1;
  for (size_t id = 0; id < row.logits.size(); ++id) {
    if (!seen[id]) row.logits[id] = kNever;
  }
  for (const int32_t id : row.params.allowed_ids) seen[id] = 0;
}

}  // namespace

extern const SamplingStep kAllowedIds{"allowed_ids", applies, apply, false, false};

}  // namespace polymath::engine
