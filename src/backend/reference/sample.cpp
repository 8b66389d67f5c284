#include "backend/reference/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace polymath::backend {

int32_t sample_by_sorting(std::span<const float> logits, const SampleParams& p) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (std::ranges::any_of(logits, [](float v) { return !(v < kInfinity); })) return -1;
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::stable_sort(ids, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const double best = logits[ids[0]];
  if (best == -kInfinity) return -1;
  if (p.temperature <= 0) return ids[0];
  const auto weight = [&](int32_t id) { return std::exp((logits[id] - best) / p.temperature); };
  while (p.min_p > 0 && weight(ids.back()) < p.min_p) ids.pop_back();
  if (p.top_k > 0 && p.top_k < static_cast<int>(ids.size())) ids.resize(static_cast<size_t>(p.top_k));
  double all = 0, kept = 0;
  for (const int32_t id : ids) all += weight(id);
  size_t n = 0;
  while (n < ids.size() && (n == 0 || kept < all * p.top_p)) kept += weight(ids[n++]);
  ids.resize(n);
  std::ranges::sort(ids);
  double below = 0;
  for (const int32_t id : ids) {
    below += weight(id);
    if (below > kept * p.uniform) return id;
  }
  return ids.back();
}

}  // namespace polymath::backend
