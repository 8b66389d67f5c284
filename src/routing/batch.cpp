#include "routing/batch.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "routing/row.h"

namespace polymath::routing {
namespace {

// ceil(n * factor / n_experts), from 0 to `most`; 0 for a NaN. In float32, 10 * 1.1f is 11; in double it is more.
int capacity_of(const RouterConfig& config, float factor, int64_t n, int64_t most) {
  const float capacity = std::ceil(static_cast<float>(n) * factor / static_cast<float>(config.n_experts));
  if (!(capacity > 0)) return 0;
  return static_cast<int>(capacity < static_cast<float>(most) ? static_cast<int64_t>(capacity) : most);
}

// The softmax of `n` values at distance `stride`; NaN if it does not exist.
void softmax_strided(const float* in, int n, int64_t stride, float* out) {
  float max = -INFINITY;
  for (int i = 0; i < n; ++i) max = std::max(max, in[i * stride]);
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += out[i * stride] = std::exp(in[i * stride] - max);
  for (int i = 0; i < n; ++i) out[i * stride] /= sum;
}

}  // namespace

ExpertChoice expert_choice(const RouterConfig& config, const float* logits, int n_tokens, float capacity_factor) {
  const int n_experts = config.n_experts;
  std::vector<float> scores(static_cast<size_t>(n_tokens) * n_experts);
  for (int64_t t = 0; t < n_tokens; ++t) {
    softmax_strided(logits + t * n_experts, n_experts, 1, scores.data() + t * n_experts);
  }
  ExpertChoice choice;
  choice.capacity = std::min(n_tokens, std::max(1, capacity_of(config, capacity_factor, n_tokens, n_tokens)));
  choice.token_ids.reserve(static_cast<size_t>(n_experts) * choice.capacity);
  choice.weights.reserve(choice.token_ids.capacity());
  std::vector<int32_t> order(n_tokens);
  for (int e = 0; e < n_experts; ++e) {
    const auto score = [&](int32_t t) { return scores[static_cast<size_t>(t) * n_experts + e]; };
    // A NaN comes last: it must not take a valid token's place.
    const auto key = [&](int32_t t) { return std::isnan(score(t)) ? -1.0f : score(t); };
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + choice.capacity, order.end(),
                      [&](int32_t a, int32_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
    for (int c = 0; c < choice.capacity; ++c) {
      choice.token_ids.push_back(order[c]);
      choice.weights.push_back(score(order[c]));
    }
  }
  return choice;
}

SoftMoe soft_moe(const float* logits, int n_tokens, int n_slots_total) {
  const size_t size = static_cast<size_t>(n_tokens) * n_slots_total;
  SoftMoe moe{std::vector<float>(size), std::vector<float>(size)};
  if (size == 0) return moe;
  for (int64_t slot = 0; slot < n_slots_total; ++slot) {
    softmax_strided(logits + slot, n_tokens, n_slots_total, moe.dispatch.data() + slot);
  }
  for (int64_t t = 0; t < n_tokens; ++t) {
    softmax_strided(logits + t * n_slots_total, n_slots_total, 1, moe.combine.data() + t * n_slots_total);
  }
  return moe;
}

int apply_capacity(const RouterConfig& config, float factor, int n_tokens, int32_t* expert_ids, float* expert_weights) {
  if (!(factor > 0)) return 0;
  const int64_t n_choices = static_cast<int64_t>(n_tokens) * config.top_k;
  const int capacity = capacity_of(config, factor, n_choices, n_choices);
  std::vector<int> n_kept(config.n_experts);
  int n_dropped = 0;
  for (int rank = 0; rank < config.top_k; ++rank) {
    for (int64_t t = 0; t < n_tokens; ++t) {
      int32_t& id = expert_ids[t * config.top_k + rank];
      if (id < 0) continue;  // dropped before
      CHECK(id < config.n_experts);
      if (n_kept[id]++ < capacity) continue;
      id = -1;
      expert_weights[t * config.top_k + rank] = 0;
      ++n_dropped;
    }
  }
  return n_dropped;
}

}  // namespace polymath::routing
