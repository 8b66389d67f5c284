#pragma once

// How the routers spread the tokens over the experts. Few series: three a layer, and a handful of the whole model.
//
//   imbalance   of a layer: tokens of the busiest expert over the mean; 1 is even
//   entropy     of a layer: of the experts' shares, over that of an even spread; 1 is even, 0 is one expert alone
//   used        of a layer: share of the experts that took a token
//   touched     distinct experts of a layer in a step, mean over layers and steps
//   confidence  a token's largest weight over the sum of its weights, mean over layers and tokens
//
// Each is of the tokens since the last update. Counters: choices dropped over a capacity, and the estimate of time lost
// to imbalance. For each layer, with `t` its seconds and `max` and `mean` the loads since the last update, it grows by
//
//   t * (1 - mean / max)
//
// This is what an even load would save, if the most loaded bounds the layer. Over ranks that wait for each other it is
// what they wait. Over experts it is an upper bound, reached where each has a device of its own. `t` is the measured
// time of the feed-forward part where the host computes it. A GPU does not report it: there `t` is the step's share of
// each layer.
//
// Thread safety: the engine thread updates, any thread reads.

#include <atomic>
#include <memory>
#include <vector>

#include "base/metrics.h"
#include "model/model.h"

namespace polymath::engine {

// Tokens routed to each expert of a layer since the start.
struct ExpertTokens {
  int layer = 0;
  std::vector<int64_t> tokens;  // [n_experts]
};

class ExpertMetrics {
 public:
  // `per_expert`: a counter of each expert, too. These are many series: layers times experts.
  ExpertMetrics(const model::Model& model, const base::Labels& labels, bool per_expert,
                base::MetricsRegistry& registry);

  // `step_seconds`: of all steps so far. Waits for the device.
  void update(const model::Model& model, double step_seconds);
  std::vector<ExpertTokens> tokens() const;  // of the last update; empty: the model has no router

 private:
  using Load = model::Model::ExpertLoad;
  struct Expert {
    std::atomic<int64_t> tokens{0};
    base::Counter* counter = nullptr;  // null: no series of its own
  };
  struct Layer {
    int number = 0;
    base::Gauge *imbalance, *entropy, *used;
    size_t n_experts = 0;
    std::unique_ptr<Expert[]> experts;
    double seconds = 0;  // seen at the last update
  };
  // Sums over all layers since the start.
  struct Totals {
    double touched = 0, layer_steps = 0;  // (expert, step) with a token; (layer, step)
    double top_shares = 0, tokens = 0;
    double dropped = 0;
  };
  // Shares of a layer's time that an even load would save.
  struct Savings {
    double over_experts = 0, over_ranks = 0;
  };
  void make_layer(const Load& load, const base::Labels& labels, bool per_expert, base::MetricsRegistry& registry);
  static Savings update(Layer& layer, const Load& load);
  void update(const Totals& totals);

  std::vector<Layer> layers_;
  Totals seen_;
  double step_seconds_ = 0;
  base::Gauge *touched_ = nullptr, *confidence_ = nullptr;  // null: no router; the weights are not read back
  base::Counter *dropped_ = nullptr, *lost_over_experts_ = nullptr, *lost_over_ranks_ = nullptr;
};

}  // namespace polymath::engine
