// Excludes the last id of a sequence whose other ids are the output's last ones.

#include <algorithm>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return !row.params.bad_ids.empty(); }

void apply(Row& row) {
  for (const std::vector<int32_t>& ids : row.params.bad_ids) {
    const size_t before = ids.size() - 1;
    if (before > row.output.size()) continue;
    const auto last = row.output.last(before);
    if (std::equal(last.begin(), last.end(), ids.begin())) row.logits[ids.back()] = kNever;
  }
}

}  // namespace

extern const SamplingStep kBadIds{"bad_ids", applies, apply, false, false};

}  // namespace polymath::engine
