#pragma once

// How evenly the tokens spread over the experts, layer by layer: metrics of few series, and the counts themselves.
//
//   imbalance   tokens of the busiest expert over the mean; 1 is even
//   entropy     of the experts' shares, over that of an even spread; 1 is even, 0 is one expert alone
//   used        share of the experts that took a token
//
// Each is of the tokens since the last update. Thread safety: the engine thread updates, any thread reads.

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

  void update(const model::Model& model);    // waits for the device
  std::vector<ExpertTokens> tokens() const;  // of the last update; empty: the model has no router

 private:
  struct Expert {
    std::atomic<int64_t> tokens{0};
    base::Counter* counter = nullptr;  // null: no series of its own
  };
  struct Layer {
    int number = 0;
    base::Gauge *imbalance, *entropy, *used;
    size_t n_experts = 0;
    std::unique_ptr<Expert[]> experts;
  };
  static void update(Layer& layer, std::span<const int64_t> tokens);

  std::vector<Layer> layers_;
};

}  // namespace polymath::engine
