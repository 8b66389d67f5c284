#pragma once

// What moving experts between ranks has done: vLLM only logs it, so the names are our own. A model whose experts stay
// has none of them.
//
// Thread safety: the engine thread updates, any thread may render the registry.

#include <vector>

#include "base/metrics.h"
#include "model/model.h"

namespace polymath::engine {

class BalanceMetrics {
 public:
  BalanceMetrics(const model::Model& model, const base::Labels& labels, base::MetricsRegistry& registry);
  void update(const model::Model& model);

 private:
  struct Layer {
    base::Gauge *now, *before, *predicted, *after;
  };
  // A counter, and what it has counted.
  struct Total {
    base::Counter* counter = nullptr;
    int64_t seen = 0;
    void set(int64_t n) { counter->add(static_cast<double>(n - seen)), seen = n; }
  };
  std::vector<Layer> layers_;
  Total decisions_, switches_, moves_, bytes_;
  base::Gauge *predicted_gain_ = nullptr, *measured_gain_ = nullptr;
};

}  // namespace polymath::engine
