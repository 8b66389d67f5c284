// Cuts all but the smallest set of most likely ids whose probability, of what is still in, reaches top_p.
// Source: Holtzman et al., arXiv:1904.09751 section 3.1.
//
// The row is never sorted. Ids less likely than (1 - top_p) / n cannot matter: all of them together weigh less than
// what may be cut. Of the rest the border is found by selection, halving each time: O(n) in all.

#include <algorithm>
#include <cmath>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return row.params.top_p < 1; }

// Fills weights[id] with exp(logit - best) of what stays in, 0 elsewhere; returns their sum and how many there are.
struct Mass {
  double sum = 0;
  int64_t n = 0;
};
Mass weigh(Row& row) {
  Mass mass;
  const float best = row.logits[best_id(row.logits)];
  for (int32_t id = 0; id < static_cast<int32_t>(row.logits.size()); ++id) {
    float& weight = row.scratch.weights[id];
    weight = row.stays(id) ? std::exp(row.logits[id] - best) : 0;
    mass.sum += weight;
    mass.n += weight > 0;
  }
  return mass;
}

// [begin, end) holds the border; what lies before begin weighs `before`. Returns the last id that stays.
Scored border(std::span<Scored> candidates, double target) {
  size_t begin = 0, end = candidates.size();
  double before = 0;
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(candidates.begin() + begin, candidates.begin() + middle, candidates.begin() + end, better);
    double half = 0;
    for (size_t i = begin; i < middle; ++i) half += candidates[i].score;
    if (before + half >= target) {
      end = middle;
    } else {
      before += half;
      begin = middle;
    }
  }
  return candidates[begin];
}

void apply(Row& row) {
  const Mass mass = weigh(row);
  if (mass.n <= 1) return;
  const double negligible = (1 - static_cast<double>(row.params.top_p)) * mass.sum / static_cast<double>(mass.n);
  size_t n = 0;
  for (int32_t id = 0; id < static_cast<int32_t>(row.logits.size()); ++id) {
    const float weight = row.scratch.weights[id];
    if (weight > 0 && weight >= negligible) row.scratch.scored[n++] = {weight, id};
  }
  const Scored last = border(std::span(row.scratch.scored).first(n), row.params.top_p * mass.sum);
  row.raise_floor({row.logits[last.id], last.id});
}

}  // namespace

extern const SamplingStep kTopP{"top_p", applies, apply, true};

}  // namespace polymath::engine
