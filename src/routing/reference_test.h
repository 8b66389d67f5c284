#pragma once

// The routings' definitions from the papers, in double precision. They share nothing with the code under test.
// Scores are compared as defined; the next choice is the first highest score not taken.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "routing/router.h"

namespace polymath::routing::reference {

using Row = std::vector<double>;

struct Routed {
  std::vector<int> ids;
  Row weights;
};

inline std::vector<int> best(const Row& scores, int k) {
  std::vector<int> order(scores.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
  order.resize(k);
  return order;
}

inline Row softmax(const Row& x) {
  const double max = *std::max_element(x.begin(), x.end());
  Row p;
  double sum = 0;
  for (double v : x) sum += std::exp(v - max);
  for (double v : x) p.push_back(std::exp(v - max) / sum);
  return p;
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

inline Row pick(const Row& values, const std::vector<int>& ids) {
  Row picked;
  for (int id : ids) picked.push_back(values[id]);
  return picked;
}

inline void finish(const RouterConfig& c, bool normalize, Row* weights) {
  double sum = 0;
  for (double w : *weights) sum += w;
  const double divisor = std::max<double>(sum + c.normalize_eps, c.normalize_min);
  for (double& w : *weights) w = (normalize ? w / divisor : w) * c.weight_scale;
}

// The experts outside the best groups get `masked`.
inline Row keep_best_groups(const RouterConfig& c, Row scores, const std::function<double(Row)>& worth, double masked) {
  const int size = c.n_experts / c.n_groups;
  Row group_scores;
  for (int g = 0; g < c.n_groups; ++g) {
    group_scores.push_back(worth(Row(scores.begin() + g * size, scores.begin() + (g + 1) * size)));
  }
  const std::vector<int> kept = best(group_scores, c.top_groups);
  for (int i = 0; i < c.n_experts; ++i) {
    if (std::find(kept.begin(), kept.end(), i / size) == kept.end()) scores[i] = masked;
  }
  return scores;
}

inline Routed softmax_topk(const RouterConfig& c, const Row& logits, const Row&) {
  const Row p = softmax(logits);
  Routed r{best(p, c.top_k), {}};
  r.weights = pick(p, r.ids);
  finish(c, c.normalize, &r.weights);
  return r;
}

inline Routed topk_softmax(const RouterConfig& c, const Row& logits, const Row&) {
  Routed r{best(logits, c.top_k), {}};
  r.weights = softmax(pick(logits, r.ids));
  finish(c, false, &r.weights);
  return r;
}

inline Routed softmax_group_topk(const RouterConfig& c, const Row& logits, const Row&) {
  const auto best_of = [](const Row& g) { return *std::max_element(g.begin(), g.end()); };
  const Row p = keep_best_groups(c, softmax(logits), best_of, 0.0);
  Routed r{best(p, c.top_k), {}};
  r.weights = pick(p, r.ids);
  finish(c, c.normalize, &r.weights);
  return r;
}

inline Routed sigmoid_group_topk(const RouterConfig& c, const Row& logits, const Row& bias) {
  Row s, choice;
  for (int i = 0; i < c.n_experts; ++i) {
    s.push_back(sigmoid(logits[i]));
    choice.push_back(s[i] + bias[i]);
  }
  const auto two_best = [](Row g) {
    std::sort(g.rbegin(), g.rend());
    return g.size() > 1 ? g[0] + g[1] : g[0];
  };
  choice = keep_best_groups(c, choice, two_best, -std::numeric_limits<double>::infinity());
  Routed r{best(choice, c.top_k), {}};
  r.weights = pick(s, r.ids);
  finish(c, c.normalize, &r.weights);
  return r;
}

inline Routed softmax_bias_topk(const RouterConfig& c, const Row& logits, const Row& bias) {
  const Row p = softmax(logits);
  Row choice = p;
  for (int i = 0; i < c.n_experts; ++i) choice[i] += bias[i];
  Routed r{best(choice, c.top_k), {}};
  r.weights = pick(p, r.ids);
  finish(c, true, &r.weights);
  return r;
}

inline Routed sigmoid_topk(const RouterConfig& c, const Row& logits, const Row&) {
  Routed r{best(logits, c.top_k), {}};
  for (int id : r.ids) r.weights.push_back(sigmoid(logits[id]));
  finish(c, c.normalize, &r.weights);
  return r;
}

inline Routed sparsemixer(const RouterConfig& c, const Row& logits, const Row&) {
  const double inf = std::numeric_limits<double>::infinity();
  Row open = logits;  // the experts that are not taken; the others are -inf
  Routed r;
  for (int j = 0; j < c.top_k; ++j) {
    const int id = best(open, 1)[0];
    const double max = open[id];
    Row masked = open;
    for (int i = 0; i < c.n_experts; ++i) {
      if ((max - logits[i]) / std::max(std::abs(logits[i]), max) > 2 * c.jitter_eps) masked[i] = -inf;
    }
    r.ids.push_back(id);
    r.weights.push_back(softmax(masked)[id]);
    open[id] = -inf;
  }
  finish(c, false, &r.weights);
  return r;
}

inline Routed switch_top1(const RouterConfig& c, const Row& logits, const Row&) {
  Routed r{best(logits, 1), {}};
  r.weights = pick(softmax(logits), r.ids);
  finish(c, false, &r.weights);
  return r;
}

}  // namespace polymath::routing::reference
