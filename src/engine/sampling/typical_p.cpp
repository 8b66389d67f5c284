// Keeps the ids whose surprise is nearest to the expected one: as few as have typical_p of what remains.
// Ids as near as the last of them stay, too. The best id may go.
// Source: Meister et al., arXiv:2202.00666 section 4.

#include <algorithm>
#include <cmath>

#include "engine/sampling/params.h"
#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return row.params.typical_p < 1 && !is_greedy(row.params); }

bool nearer(const Scored& a, const Scored& b) { return a.score < b.score; }

// The distance of the last one that stays. Selection by halves: the sums of the nearer halves decide.
float border(std::span<Scored> candidates, const Scratch& scratch, double target) {
  size_t begin = 0, end = candidates.size();
  double before = 0;
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(candidates.begin() + begin, candidates.begin() + middle, candidates.begin() + end, nearer);
    double half = 0;
    for (size_t i = begin; i < middle; ++i) half += scratch.weights[candidates[i].id];
    if (before + half >= target) {
      end = middle;
    } else {
      before += half;
      begin = middle;
    }
  }
  return candidates[begin].score;
}

void apply(Row& row) {
  Scratch& scratch = row.scratch;
  const double sum = weigh_staying(row);
  if (!(sum > 0)) return;  // every id is excluded
  const float best = row.logits[best_id(row.logits)];
  const double log_sum = std::log(sum);
  const auto surprise = [&](int32_t id) { return log_sum - (row.logits[id] - best); };
  size_t n = 0;
  double entropy = 0;
  for (int32_t id = 0; id < static_cast<int32_t>(row.logits.size()); ++id) {
    if (scratch.weights[id] <= 0) continue;
    scratch.scored[n++].id = id;
    entropy += scratch.weights[id] / sum * surprise(id);
  }
  const std::span<Scored> candidates = std::span(scratch.scored).first(n);
  for (Scored& c : candidates) c.score = static_cast<float>(std::abs(surprise(c.id) - entropy));
  const float last = border(candidates, scratch, row.params.typical_p * sum);
  for (const Scored& c : candidates) {
    if (c.score > last) row.logits[c.id] = kNever;
  }
}

}  // namespace

extern const SamplingStep kTypicalP{"typical_p", applies, apply, false, false};

}  // namespace polymath::engine
