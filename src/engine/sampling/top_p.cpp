// Cuts all but the smallest set of most likely ids whose share of the remaining probability reaches top_p.
// Source: Holtzman et al., arXiv:1904.09751 section 3.1.
//
// O(n) without sorting. Weights are summed in bins by their upper bits. In one bin the sum reaches top_p. Selection
// finds the border among its few ids.

#include <algorithm>
#include <bit>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return row.params.top_p < 1; }

// `weight` in [0, 1]: sign, exponent and seven bits of mantissa. 1 is in bin 0x3F80.
uint32_t bin_of(float weight) { return std::bit_cast<uint32_t>(weight) >> 16; }

// The last candidate that stays; `before`: the sum of all ids better than every candidate.
Scored border(std::span<Scored> candidates, double before, double target) {
  size_t begin = 0, end = candidates.size();
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

// Calls f(id, weight) in stretches that have weights. After another cut most have none.
template <typename F>
void for_each_weight(const Row& row, F f) {
  for (size_t begin = 0; begin < row.logits.size(); begin += kStretch) {
    if (row.scratch.stretches[begin / kStretch] == 0) continue;
    const size_t end = std::min(begin + kStretch, row.logits.size());
    for (size_t id = begin; id < end; ++id) f(static_cast<int32_t>(id), row.scratch.weights[id]);
  }
}

void apply(Row& row) {
  Scratch& scratch = row.scratch;
  const double target = row.params.top_p * weigh_staying(row);
  std::ranges::fill(scratch.bins, 0);
  for_each_weight(row, [&](int32_t, float weight) { scratch.bins[bin_of(weight)] += weight; });
  uint32_t bin = bin_of(1);
  double before = 0;
  for (; bin > 0 && before + scratch.bins[bin] < target; --bin) before += scratch.bins[bin];
  while (bin < bin_of(1) && scratch.bins[bin] == 0) before -= scratch.bins[++bin];  // the sums are rounded
  size_t n = 0;
  for_each_weight(row, [&](int32_t id, float weight) {
    if (bin_of(weight) == bin && weight > 0) scratch.scored[n++] = {weight, id};
  });
  if (n == 0) return;  // every id is excluded
  const Scored last = border(std::span(scratch.scored).first(n), before, target);
  row.raise_floor({row.logits[last.id], last.id});
}

}  // namespace

extern const SamplingStep kTopP{"top_p", applies, apply, true, true};

}  // namespace polymath::engine
