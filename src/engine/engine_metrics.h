#pragma once

// The engine's metrics under the names of vLLM V1, which dashboards and alerts look for. The experts' load has a name
// of our own. Thread safety: the engine thread observes, any thread may render the registry.

#include <string>
#include <vector>

#include "base/metrics.h"
#include "engine/engine.h"
#include "engine/expert_metrics.h"
#include "engine/rate.h"
#include "engine/scheduler.h"

namespace polymath::engine {

class EngineMetrics {
 public:
  EngineMetrics(const EngineOptions& options, const model::Model& model, base::MetricsRegistry& registry);

  void step(double now, int n_tokens, int n_prompt_tokens);           // sizes of a forward pass
  void host_time(double seconds);                                     // of a step, see EngineLoop::step
  void started(const RequestTimes& times, const Sequence& sequence);  // planned for the first time
  void first_of_step(double now, const RequestTimes& times);          // before the step's tokens update `times`
  void token(double now);
  void drafts(int n_draft, int n_accepted);  // of one sequence in a step; n_draft >= 1
  void finished(double now, const RequestTimes& times, const Finish& finish, int max_tokens);
  void levels(const EngineStats& stats);
  void cache(const SchedulerCounts& counts);

  // Due once a second until the rates have fallen to zero. Logs a line every ten seconds.
  void tick(double now, const EngineStats& stats);
  bool settled(double now) { return prompt_rate_.per_second(now) == 0 && generation_rate_.per_second(now) == 0; }

  void expert_load(const model::Model& model) { experts_.update(model); }
  std::vector<ExpertTokens> expert_tokens() const { return experts_.tokens(); }  // any thread

 private:
  void make_request_metrics(const EngineOptions& options, base::MetricsRegistry& registry);
  void make_times(base::MetricsRegistry& registry);
  void make_speculation(const SpeculationOptions& options, base::MetricsRegistry& registry);
  void log(const EngineStats& stats, double now);

  base::Labels labels_;
  base::Gauge *running_, *waiting_, *kv_usage_, *kv_usage_old_, *prompt_speed_, *generation_speed_;
  base::Counter *cache_queries_, *cache_hits_, *preemptions_, *prompt_tokens_, *cached_tokens_, *generation_tokens_;
  std::vector<base::Counter*> success_;  // by FinishReason
  base::Histogram *request_prompt_, *request_generation_, *request_max_tokens_, *iteration_tokens_, *step_host_;
  base::Histogram *ttft_, *inter_token_, *per_output_token_, *request_per_output_token_;
  base::Histogram *queue_, *prefill_, *decode_, *inference_, *e2e_;
  base::Counter *drafts_ = nullptr, *draft_tokens_ = nullptr, *accepted_tokens_ = nullptr;  // null: no speculation
  std::vector<base::Counter*> accepted_at_;                                                 // by position in the draft
  ExpertMetrics experts_;

  Rate prompt_rate_, generation_rate_;
  SchedulerCounts counted_;
  double logged_at_ = 0;
};

}  // namespace polymath::engine
