#pragma once

// The engine's metrics under the names of vLLM V1, which dashboards and alerts look for. On demand also under those of
// vLLM 0.6.3 and TGI. What no other server counts has a name of our own. docs/operate/metrics.md lists all.
// Thread safety: the engine thread observes, any thread may render the registry.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "engine/engine.h"
#include "engine/metrics/adapter_metrics.h"
#include "engine/metrics/balance_metrics.h"
#include "engine/metrics/expert_metrics.h"
#include "engine/metrics/old_metrics.h"
#include "engine/metrics/rate.h"
#include "engine/metrics/tgi_metrics.h"
#include "engine/scheduler.h"

namespace polymath::engine {

class EngineMetrics {
 public:
  EngineMetrics(const EngineOptions& options, const model::Model& model, base::MetricsRegistry& registry);

  void step(double now, int n_tokens, int n_prompt_tokens);  // sizes of a forward pass, before its tokens
  void step_ended(const StepRecord& step);                   // after its tokens
  void step_failed(bool prefill);
  void host_time(double seconds);  // of a step, see EngineLoop::step
  void admitted(const Sequence& sequence) { adapters_.waits(sequence.adapter); }
  void started(const RequestTimes& times, const Sequence& sequence);  // planned for the first time
  void first_of_step(double now, const RequestTimes& times);          // before the step's tokens update `times`
  void token(double now);
  void drafts(int n_draft, int n_accepted);  // of one sequence in a step; n_draft >= 1
  void corrupted() { corrupted_->add(); }    // a request's logits are not numbers
  void finished(double now, const Finish& finish, const Sequence& sequence, int max_tokens);
  void levels(const EngineStats& stats);
  void cache(const SchedulerCounts& counts);

  // Due once a second until the rates have fallen to zero. Logs a line every MetricsOptions::log_seconds.
  void tick(double now, const EngineStats& stats);
  bool settled(double now) { return prompt_rate_.per_second(now) == 0 && generation_rate_.per_second(now) == 0; }

  void expert_load(const model::Model& model) {
    experts_.update(model, forward_seconds_);
    balance_.update(model);
  }
  std::vector<ExpertTokens> expert_tokens() const { return experts_.tokens(); }  // any thread

 private:
  class Maker;
  void make_levels(const EngineOptions& options, const Maker& make);
  void make_tokens(const Maker& make);
  void make_requests(const EngineOptions& options, const Maker& make);
  void make_times(const Maker& make);
  void make_speculation(const SpeculationOptions& options, const Maker& make);
  void log(const EngineStats& stats, double now);

  base::Labels labels_;
  std::string log_name_;  // "": there is one engine
  double log_seconds_;
  base::Gauge *running_, *waiting_, *waiting_capacity_, *waiting_deferred_;
  base::Gauge *kv_usage_, *kv_usage_old_, *prompt_speed_, *generation_speed_;
  base::Counter *cache_queries_, *cache_hits_, *preemptions_, *corrupted_;
  base::Counter *prompt_tokens_, *computed_tokens_, *cached_tokens_, *cached_by_source_, *found_tokens_;
  base::Counter* generation_tokens_;
  std::vector<base::Counter*> success_;  // by FinishReason
  base::Histogram *request_prompt_, *request_generation_, *request_computed_, *request_max_tokens_;
  base::Histogram *request_preemptions_, *iteration_tokens_, *step_host_;
  base::Histogram *ttft_, *inter_token_, *per_output_token_, *request_per_output_token_;
  base::Histogram *queue_, *prefill_, *decode_, *inference_, *e2e_;
  base::Counter *drafts_ = nullptr, *draft_tokens_ = nullptr, *accepted_tokens_ = nullptr;  // null: no speculation
  std::vector<base::Counter*> accepted_at_;                                                 // by position in the draft
  ExpertMetrics experts_;
  BalanceMetrics balance_;
  AdapterMetrics adapters_;
  std::unique_ptr<OldMetrics> old_;  // null: not asked for
  std::unique_ptr<TgiMetrics> tgi_;  // null: not asked for

  Rate prompt_rate_, cached_rate_, generation_rate_;
  SchedulerCounts counted_;
  double logged_at_ = 0, forward_seconds_ = 0;
};

}  // namespace polymath::engine
