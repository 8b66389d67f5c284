#pragma once

// Names of vLLM 0.6.3 that its newest release has no more, for dashboards of that time (--metrics-compat v0.6.3).
//
// Nothing is swapped here, and no second cache lies in host memory. Their metrics have the values that vLLM gave them
// in that case. Thread safety: the engine thread observes, any thread renders.

#include "engine/options.h"
#include "engine/scheduler.h"

namespace polymath::engine {

class OldMetrics {
 public:
  OldMetrics(const EngineOptions& options, const base::Labels& labels, base::MetricsRegistry& registry);

  void cache(const SchedulerCounts& counts);
  void drafts(int n_draft, int n_accepted);  // REQUIRES: speculation

 private:
  base::Gauge* hit_rate_;
  base::Gauge *acceptance_ = nullptr, *efficiency_ = nullptr;  // null: no speculation
  base::Counter* emitted_ = nullptr;
  double n_drafts_ = 0, n_draft_tokens_ = 0, n_accepted_ = 0;
};

}  // namespace polymath::engine
