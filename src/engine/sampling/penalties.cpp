// Makes ids that occurred less likely; negative penalties make them more likely.
//
//   repetition  prompt and output: divides a positive logit, multiplies a negative one
//               (Keskar et al., arXiv:1909.05858 section 4.1)
//   frequency   output: subtracted once for each occurrence
//   presence    output: subtracted once

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) {
  const SamplingParams& p = row.params;
  return p.repetition_penalty != 1 || p.frequency_penalty != 0 || p.presence_penalty != 0;
}

void penalize_repetition(Row& row) {
  auto& seen = row.scratch.seen;
  const float penalty = row.params.repetition_penalty;
  for (const auto tokens : {row.prompt, row.output}) {
    for (const int32_t id : tokens) {
      if (seen[id]) continue;
      seen[id] = 1;
      float& logit = row.logits[id];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  for (const auto tokens : {row.prompt, row.output}) {
    for (const int32_t id : tokens) seen[id] = 0;
  }
}

void apply(Row& row) {
  if (row.params.repetition_penalty != 1) penalize_repetition(row);
  auto& counts = row.scratch.counts;
  for (const int32_t id : row.output) ++counts[id];
  for (const int32_t id : row.output) {
    if (counts[id] == 0) continue;  // its earlier occurrence did it
    row.logits[id] -= row.params.frequency_penalty * static_cast<float>(counts[id]) + row.params.presence_penalty;
    counts[id] = 0;
  }
}

}  // namespace

extern const SamplingStep kPenalties{"penalties", applies, apply, false, false};

}  // namespace polymath::engine
