// Logits -> weights exp(logit - best), over whole vocabularies.
//
// All loops are branchless and in lanes, so that compilers vectorize them. The order of additions is fixed: the same
// row always gives the same sums.

#include <algorithm>
#include <bit>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

// exp for x <= 0, relative error below 3e-7; 0 below -87, where floats underflow.
//   exp(x) = 2^n * exp(r),  n = round(x / ln 2),  |r| <= ln(2) / 2,  exp(r) by its Taylor series up to r^7
float exp_of_negative(float x) {
  constexpr float kRound = 12582912;  // 1.5 * 2^23: the sum has the rounded integer in its low bits
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // sum: ln 2; the first has few bits
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float series = 1.f / 5040;
  series = series * r + 1.f / 720;
  series = series * r + 1.f / 120;
  series = series * r + 1.f / 24;
  series = series * r + 1.f / 6;
  series = series * r + 1.f / 2;
  series = series * r + 1;
  series = series * r + 1;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) << 23;  // keeps the low bits
  const uint32_t in_range = -static_cast<uint32_t>(x >= -87);        // a mask: a branch would not vectorize
  return std::bit_cast<float>((std::bit_cast<uint32_t>(series) + exponent) & in_range);
}

double sum_in_lanes(const float* values, size_t n) {
  constexpr size_t kLanes = 8;
  double lanes[kLanes] = {};
  const size_t whole = n / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += values[i + lane];
  }
  for (size_t i = whole; i < n; ++i) lanes[0] += values[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

double weigh(std::span<const float> logits, float best, Scratch& scratch) {
  float* weights = scratch.weights.data();
  double sum = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kStretch) {
    const size_t end = std::min(begin + kStretch, logits.size());
    for (size_t i = begin; i < end; ++i) weights[i] = exp_of_negative(logits[i] - best);
    const double stretch = sum_in_lanes(weights + begin, end - begin);
    scratch.stretches[begin / kStretch] = stretch;
    sum += stretch;
  }
  return sum;
}

double weigh_staying(const Row& row) {
  Scratch& scratch = row.scratch;
  double sum = weigh(row.logits, row.logits[best_id(row.logits)], scratch);
  if (row.floor.score == kNever) return sum;
  sum = 0;
  float* weights = scratch.weights.data();
  const float* logits = row.logits.data();
  const Scored floor = row.floor;
  for (size_t begin = 0; begin < row.logits.size(); begin += kStretch) {
    const size_t end = std::min(begin + kStretch, row.logits.size());
    for (size_t i = begin; i < end; ++i) {
      const bool stays = (logits[i] > floor.score) | ((logits[i] == floor.score) & (static_cast<int>(i) <= floor.id));
      weights[i] = stays ? weights[i] : 0;
    }
    scratch.stretches[begin / kStretch] = sum_in_lanes(weights + begin, end - begin);
    sum += scratch.stretches[begin / kStretch];
  }
  return sum;
}

}  // namespace polymath::engine
