#pragma once

// Shared by the algorithms: top-k and softmax of a row, normalisation of weights.
//
// Softmax and sigmoid rise with the logit, so experts are selected by logit. Devices round expf differently; by logit
// all backends select the same experts.

#include <math.h>

#include <cstdint>

#include "routing/router.h"

namespace polymath::routing {

// The k highest of scores[0..n), by falling score; among equals the lower id first. REQUIRES: k <= n, k <= kTopKMax.
HOST_DEVICE inline void choose_top_k(const float* scores, int n, int k, int32_t* ids) {
  ROW_SCRATCH float best[kTopKMax];
  int count = 0;
  for (int i = 0; i < n; ++i) {
    const float score = scores[i];
    if (count == k && !(score > best[k - 1])) continue;
    int at = count < k ? count++ : k - 1;
    for (; at > 0 && score > best[at - 1]; --at) {
      best[at] = best[at - 1];
      ids[at] = ids[at - 1];
    }
    best[at] = score;
    ids[at] = i;
  }
}

// True: a NaN, or nothing finite. No top-k exists.
HOST_DEVICE inline bool row_is_broken(const float* row, int n) {
  bool any_finite = false;
  for (int i = 0; i < n; ++i) {
    if (isnan(row[i])) return true;
    any_finite = any_finite || isfinite(row[i]);
  }
  return !any_finite;
}

HOST_DEVICE inline void route_broken_row(int k, int32_t* ids, float* weights) {
  for (int j = 0; j < k; ++j) {
    ids[j] = j;
    weights[j] = NAN;
  }
}

// softmax(row)[i] == expf(row[i] - max) / sum.
struct Softmax {
  float max = 0;
  float sum = 0;

  HOST_DEVICE float operator()(float logit) const { return expf(logit - max) / sum; }
};

// False: the softmax does not exist (a NaN, nothing finite, or a +inf: inf / inf).
HOST_DEVICE inline bool softmax_of(const float* row, int n, Softmax* out) {
  if (row_is_broken(row, n)) return false;
  float max = row[0];
  for (int i = 1; i < n; ++i) max = row[i] > max ? row[i] : max;
  if (isinf(max)) return false;
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += expf(row[i] - max);
  *out = {max, sum};
  return true;
}

// Safe at both ends: x = -200 gives 1 / (1 + inf) = 0.
HOST_DEVICE inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// w /= max(sum + eps, min). Weights that are all zero stay zero, also where eps and min are not set.
HOST_DEVICE inline void normalize_weights(const RouterConfig& config, float* weights) {
  float sum = 0;
  for (int j = 0; j < config.top_k; ++j) sum += weights[j];
  sum += config.normalize_eps;
  const float divisor = sum > config.normalize_min ? sum : config.normalize_min;
  if (divisor == 0) return;
  for (int j = 0; j < config.top_k; ++j) weights[j] /= divisor;
}

HOST_DEVICE inline void scale_weights(const RouterConfig& config, float* weights) {
  for (int j = 0; j < config.top_k; ++j) weights[j] *= config.weight_scale;
}

// Whether group g is among the `top_groups` best; among equals the lower group wins.
HOST_DEVICE inline bool group_is_kept(const RouterConfig& config, const float* group_scores, int g) {
  int better = 0;
  for (int other = 0; other < config.n_groups; ++other) {
    better += group_scores[other] > group_scores[g] || (group_scores[other] == group_scores[g] && other < g);
  }
  return better < config.top_groups;
}

// Scores of the groups that are not kept become -inf.
HOST_DEVICE inline void mask_groups(const RouterConfig& config, const float* group_scores, float* scores) {
  const int group_size = config.n_experts / config.n_groups;
  for (int g = 0; g < config.n_groups; ++g) {
    if (group_is_kept(config, group_scores, g)) continue;
    for (int i = 0; i < group_size; ++i) scores[g * group_size + i] = -INFINITY;
  }
}

}  // namespace polymath::routing
