#include "commands/rank_metrics.h"

#include <string>
#include <utility>

namespace polymath::commands {

RankMetrics::RankMetrics(const std::vector<const model::Transformer*>& models, bool per_rank,
                         base::MetricsRegistry& metrics) {
  for (size_t replica = 0; replica < models.size(); ++replica) {
    Replica& of_replica = replicas_.emplace_back();
    of_replica.model = models[replica];
    const std::vector<model::RankReport> reports = models[replica]->rank_reports();
    for (size_t r = 0; r < reports.size(); ++r) {
      base::Labels labels;
      if (models.size() > 1) labels.emplace_back("engine", std::to_string(replica));
      if (per_rank) {
        labels.emplace_back("rank", std::to_string(r));
        labels.emplace_back("stage", std::to_string(reports[r].stage));
        export_memory(reports[r], labels, metrics);
      }
      of_replica.series.push_back(make_series(labels, reports[r].on_host, metrics));
    }
  }
  update();
}

void RankMetrics::export_memory(const model::RankReport& report, const base::Labels& labels,
                                base::MetricsRegistry& metrics) {
  const std::pair<const char*, size_t> kinds[] = {{"weights", report.weights},
                                                  {"scratch", report.scratch},
                                                  {"kv_cache", report.kv_cache},
                                                  {"graphs", report.graphs}};
  for (const auto& [kind, bytes] : kinds) {
    base::Labels of_kind = labels;
    of_kind.emplace_back("kind", kind);
    metrics.gauge("polymath:rank_memory_bytes", "Memory that a rank allocated at start, by kind.", of_kind)
        .set(static_cast<double>(bytes));
  }
}

RankMetrics::Series RankMetrics::make_series(const base::Labels& labels, bool on_host, base::MetricsRegistry& metrics) {
  Series s;
  s.steps = &metrics.counter("polymath:rank_steps_total", "Steps, counted once a rank.", labels);
  s.step_seconds = &metrics.counter("polymath:rank_step_seconds_total",
                                    "Seconds of ranks from a step's start to its end, waits included.", labels);
  if (!on_host) return s;
  s.communication_seconds = &metrics.counter("polymath:rank_communication_seconds_total",
                                             "Seconds of ranks in sums, gathers and messages, waits included.", labels);
  s.bytes_sent = &metrics.counter("polymath:rank_sent_bytes_total",
                                  "Bytes that ranks gave to other ranks; a part of a sum counts once a peer.", labels);
  return s;
}

void RankMetrics::update() {
  for (Replica& replica : replicas_) {
    const std::vector<model::RankReport> reports = replica.model->rank_reports();
    for (size_t r = 0; r < reports.size(); ++r) {
      Series& s = replica.series[r];
      const parallel::RankTrace::Totals &now = reports[r].totals, before = std::exchange(s.counted, now);
      s.steps->add(static_cast<double>(now.steps - before.steps));
      s.step_seconds->add(now.step_seconds - before.step_seconds);
      if (s.bytes_sent == nullptr) continue;
      s.communication_seconds->add(now.communication_seconds - before.communication_seconds);
      s.bytes_sent->add(static_cast<double>(now.bytes_sent - before.bytes_sent));
    }
  }
}

}  // namespace polymath::commands
