#pragma once

// The engine's numbers, under the names that vLLM's dashboards and alerts look for (its V1 metrics), and the load of
// the experts under ours. Observed on the engine thread; read by anybody.

#include <string>
#include <vector>

#include "base/metrics.h"
#include "engine/engine.h"
#include "engine/rate.h"
#include "engine/scheduler.h"

namespace polymath::engine {

// When things happened to a request; steady seconds, 0: not yet.
struct RequestTimes {
  double arrived = 0;
  double started = 0;  // first planned
  double first_token = 0;
  double last_token = 0;
};

class EngineMetrics {
 public:
  EngineMetrics(const EngineOptions& options, const model::Model& model, base::MetricsRegistry& registry);

  void step(double now, int n_tokens, int n_prompt_tokens);           // sizes of a forward pass
  void host_time(double seconds);                                     // of a step, see EngineLoop::step
  void started(const RequestTimes& times, const Sequence& sequence);  // planned for the first time
  void token(double now, const RequestTimes& times);                  // before `times` learns of it
  void finished(double now, const RequestTimes& times, const Finish& finish, int max_tokens);
  void levels(const EngineStats& stats);
  void cache(const SchedulerCounts& counts);

  // Once a second, and while rates have yet to fall to zero. `log`: a line every ten seconds.
  void tick(double now, const EngineStats& stats);
  bool settled(double now) { return prompt_rate_.per_second(now) == 0 && generation_rate_.per_second(now) == 0; }

  void expert_load(const model::Model& model);

 private:
  struct Expert {
    base::Counter* counter;
    int64_t counted = 0;
  };
  struct Layer {
    base::Gauge* imbalance;
    std::vector<Expert> experts;
  };
  void make_request_metrics(const EngineOptions& options, base::MetricsRegistry& registry);
  void make_times(base::MetricsRegistry& registry);
  void make_experts(const model::Model& model, base::MetricsRegistry& registry);
  void log(const EngineStats& stats, double now);

  base::Labels labels_;
  base::Gauge *running_, *waiting_, *kv_usage_, *kv_usage_old_, *prompt_speed_, *generation_speed_;
  base::Counter *cache_queries_, *cache_hits_, *preemptions_, *prompt_tokens_, *cached_tokens_, *generation_tokens_;
  std::vector<base::Counter*> success_;  // by FinishReason
  base::Histogram *request_prompt_, *request_generation_, *request_max_tokens_, *iteration_tokens_, *step_host_;
  base::Histogram *ttft_, *inter_token_, *per_output_token_, *request_per_output_token_;
  base::Histogram *queue_, *prefill_, *decode_, *inference_, *e2e_;
  std::vector<Layer> layers_;

  Rate prompt_rate_, generation_rate_;
  SchedulerCounts counted_;
  double logged_at_ = 0;
};

}  // namespace polymath::engine
