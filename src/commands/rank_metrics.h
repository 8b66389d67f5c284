#pragma once

// polymath:rank_*: what several ranks hold, and what their steps and their communication took.
//
// Thread safety: none; one thread updates it.

#include <vector>

#include "base/metrics.h"
#include "model/loading/load.h"

namespace polymath::commands {

class RankMetrics {
 public:
  // `models`: one a replica; they outlive this. `per_rank`: a series of each rank; else one a replica, their sum. A
  // model on one rank has none.
  RankMetrics(const std::vector<const model::Transformer*>& models, bool per_rank, base::MetricsRegistry& metrics);
  // Adds what the ranks did since the last call.
  void update();

 private:
  struct Series {
    base::Counter *steps = nullptr, *step_seconds = nullptr;
    base::Counter *communication_seconds = nullptr, *bytes_sent = nullptr;  // null: the devices do it
    parallel::RankTrace::Totals counted;
  };
  struct Replica {
    const model::Transformer* model = nullptr;
    std::vector<Series> series;  // by rank; all alike without `per_rank`
  };
  static Series make_series(const base::Labels& labels, bool on_host, base::MetricsRegistry& metrics);
  static void export_memory(const model::RankReport& report, const base::Labels& labels,
                            base::MetricsRegistry& metrics);

  std::vector<Replica> replicas_;
};

}  // namespace polymath::commands
