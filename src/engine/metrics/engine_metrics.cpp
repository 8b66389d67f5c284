#include "engine/metrics/engine_metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"

namespace polymath::engine {
namespace {

using Bounds = std::vector<double>;

const Bounds& first_token_bounds() {
  static const Bounds bounds = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
  return bounds;
}

const Bounds& token_bounds() {
  static const Bounds bounds = {.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
  return bounds;
}

const Bounds& request_bounds() {
  static const Bounds bounds = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
  return bounds;
}

const Bounds& host_bounds() {
  static const Bounds bounds = {.00001, .00002, .00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, 1};
  return bounds;
}

const Bounds& iteration_bounds() {
  static const Bounds bounds = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
  return bounds;
}

const Bounds& preemption_bounds() {
  static const Bounds bounds = {1, 2, 3, 4, 5, 10, 20};
  return bounds;
}

}  // namespace

// Makes metrics that share the engine's labels.
class EngineMetrics::Maker {
 public:
  Maker(const base::Labels& labels, base::MetricsRegistry& registry) : labels_(labels), registry_(registry) {}

  base::Gauge* gauge(const char* name, const char* help) const { return &registry_.gauge(name, help, labels_); }
  base::Gauge* gauge(const char* name, const char* help, const char* label, const char* value) const {
    return &registry_.gauge(name, help, with(label, value));
  }
  base::Counter* counter(const char* name, const char* help) const { return &registry_.counter(name, help, labels_); }
  base::Counter* counter(const char* name, const char* help, const char* label, const std::string& value) const {
    return &registry_.counter(name, help, with(label, value));
  }
  base::Histogram* histogram(const char* name, const char* help, const Bounds& bounds) const {
    return &registry_.histogram(name, help, labels_, bounds);
  }
  void info(const char* name, const char* help, const base::Labels& more) const {
    base::Labels labels = labels_;
    labels.insert(labels.end(), more.begin(), more.end());
    registry_.gauge(name, help, std::move(labels)).set(1);
  }

 private:
  base::Labels with(const char* name, const std::string& value) const {
    base::Labels labels = labels_;
    labels.emplace_back(name, value);
    return labels;
  }
  const base::Labels& labels_;
  base::MetricsRegistry& registry_;
};

EngineMetrics::EngineMetrics(const EngineOptions& options, const model::Model& model, base::MetricsRegistry& registry)
    : labels_(metric_labels(options.model_name, options.metrics)),
      log_name_(options.metrics.n_engines > 1 ? absl::StrCat("replica ", options.metrics.engine, ": ") : ""),
      log_seconds_(options.metrics.log_seconds),
      experts_(model, labels_, options.metrics.expert_series, registry),
      balance_(model, labels_, registry),
      adapters_(options.metrics, labels_, registry) {
  const Maker make(labels_, registry);
  make_levels(options, make);
  make_tokens(make);
  make_requests(options, make);
  make_times(make);
  if (!options.speculation.method.empty()) make_speculation(options.speculation, make);
  if (options.metrics.vllm_063) old_ = std::make_unique<OldMetrics>(options, labels_, registry);
  if (options.metrics.tgi) tgi_ = std::make_unique<TgiMetrics>(options, registry);
}

void EngineMetrics::make_levels(const EngineOptions& options, const Maker& make) {
  running_ = make.gauge("vllm:num_requests_running", "Requests that hold KV blocks.");
  waiting_ = make.gauge("vllm:num_requests_waiting", "Requests that wait to run.");
  constexpr char kByReason[] = "vllm:num_requests_waiting_by_reason", kWhy[] = "Requests that wait to run, by reason.";
  waiting_capacity_ = make.gauge(kByReason, kWhy, "reason", "capacity");
  waiting_deferred_ = make.gauge(kByReason, kWhy, "reason", "deferred");
  for (const char* state : {"awake", "weights_offloaded", "discard_all"}) {
    make.gauge("vllm:engine_sleep_state", "1 in the state that the engine is in; it never sleeps.", "sleep_state",
               state)
        ->set(state == std::string_view("awake") ? 1 : 0);
  }
  kv_usage_ = make.gauge("vllm:kv_cache_usage_perc", "KV blocks held by running requests; 1 is all of them.");
  kv_usage_old_ =
      make.gauge("vllm:gpu_cache_usage_perc", "The same as vllm:kv_cache_usage_perc, under its older name.");
  prompt_speed_ =
      make.gauge("vllm:avg_prompt_throughput_toks_per_s", "Prompt tokens computed a second, over the last seconds.");
  generation_speed_ =
      make.gauge("vllm:avg_generation_throughput_toks_per_s", "Tokens generated a second, over the last seconds.");
  base::Labels config = {{"block_size", absl::StrCat(options.block_size)},
                         {"num_gpu_blocks", absl::StrCat(options.n_blocks)},
                         {"enable_prefix_caching", options.prefix_caching ? "True" : "False"}};
  config.insert(config.end(), options.metrics.cache_config.begin(), options.metrics.cache_config.end());
  make.info("vllm:cache_config_info", "How the KV cache is laid out, as labels.", config);
}

void EngineMetrics::make_tokens(const Maker& make) {
  cache_queries_ = make.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.");
  cache_hits_ = make.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.");
  preemptions_ = make.counter("vllm:num_preemptions_total", "Times that a running request lost its KV blocks.");
  corrupted_ =
      make.counter("vllm:corrupted_requests_total", "Requests that ended because a logit was NaN or infinite.");
  prompt_tokens_ = make.counter("vllm:prompt_tokens_total", "Prompt tokens of the requests that started.");
  constexpr char kBySource[] = "vllm:prompt_tokens_by_source_total", kWhence[] = "Prompt tokens, by where KV is from.";
  computed_tokens_ = make.counter(kBySource, kWhence, "source", "local_compute");
  found_tokens_ = make.counter(kBySource, kWhence, "source", "local_cache_hit");
  cached_tokens_ = make.counter("vllm:prompt_tokens_cached_total", "Of the prompt tokens: found in the prefix cache.");
  cached_by_source_ = make.counter("vllm:prompt_tokens_cached_by_source_total",
                                   "Cached prompt tokens, by the memory that held their KV.", "source", "device");
  generation_tokens_ = make.counter("vllm:generation_tokens_total", "Tokens generated.");
}

void EngineMetrics::make_requests(const EngineOptions& options, const Maker& make) {
  const Bounds lengths = base::one_two_five(std::max(1, options.model_len_max));
  request_prompt_ = make.histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", lengths);
  request_generation_ = make.histogram("vllm:request_generation_tokens", "Tokens generated for a request.", lengths);
  request_computed_ = make.histogram("vllm:request_prefill_kv_computed_tokens",
                                     "Prompt tokens of a request that were not found in the prefix cache.", lengths);
  request_max_tokens_ = make.histogram("vllm:request_params_max_tokens", "max_tokens of a request.", lengths);
  request_preemptions_ =
      make.histogram("vllm:request_num_preemptions", "Times that a request lost its KV blocks.", preemption_bounds());
  iteration_tokens_ = make.histogram("vllm:iteration_tokens_total", "Tokens in a forward pass.", iteration_bounds());
  for (int reason = 0; reason < static_cast<int>(FinishReason::kCount); ++reason) {
    success_.push_back(make.counter("vllm:request_success_total", "Requests that ended, by the reason.",
                                    "finished_reason", finish_reason_name(static_cast<FinishReason>(reason))));
  }
}

void EngineMetrics::make_times(const Maker& make) {
  ttft_ = make.histogram("vllm:time_to_first_token_seconds", "From arrival to the first token.", first_token_bounds());
  inter_token_ = make.histogram("vllm:inter_token_latency_seconds", "From a token to the next.", token_bounds());
  per_output_token_ =
      make.histogram("vllm:time_per_output_token_seconds",
                     "The same as vllm:inter_token_latency_seconds, under its older name.", token_bounds());
  request_per_output_token_ = make.histogram("vllm:request_time_per_output_token_seconds",
                                             "A request's mean time from a token to the next.", token_bounds());
  queue_ = make.histogram("vllm:request_queue_time_seconds", "From arrival to the first step.", request_bounds());
  prefill_ =
      make.histogram("vllm:request_prefill_time_seconds", "From the first step to the first token.", request_bounds());
  decode_ = make.histogram("vllm:request_decode_time_seconds", "From the first token to the last.", request_bounds());
  inference_ =
      make.histogram("vllm:request_inference_time_seconds", "From the first step to the last token.", request_bounds());
  step_host_ = make.histogram("polymath:step_host_seconds",
                              "Time of the engine thread on a step, except waiting for the device or computing for it.",
                              host_bounds());
  e2e_ = make.histogram("vllm:e2e_request_latency_seconds", "From arrival to the end.", request_bounds());
}

void EngineMetrics::make_speculation(const SpeculationOptions& options, const Maker& make) {
  drafts_ = make.counter("vllm:spec_decode_num_drafts_total", "Drafts: at most one a request in a step.");
  draft_tokens_ = make.counter("vllm:spec_decode_num_draft_tokens_total", "Tokens of all drafts.");
  accepted_tokens_ = make.counter("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens that were accepted.");
  for (int position = 0; position < options.n_draft_max; ++position) {
    accepted_at_.push_back(make.counter("vllm:spec_decode_num_accepted_tokens_per_pos_total",
                                        "Draft tokens that were accepted, by their position in the draft.", "position",
                                        absl::StrCat(position)));
  }
}

void EngineMetrics::step(double now, int n_tokens, int n_prompt_tokens) {
  if (settled(now)) logged_at_ = now;  // the first step after idling: the next line is due in log_seconds_
  iteration_tokens_->observe(n_tokens);
  prompt_rate_.add(now, n_prompt_tokens);
}

void EngineMetrics::step_ended(const StepRecord& step) {
  forward_seconds_ += step.forward_seconds;
  if (tgi_ != nullptr) tgi_->step(step);
}

void EngineMetrics::step_failed(bool prefill) {
  if (tgi_ != nullptr) tgi_->step_failed(prefill);
}

void EngineMetrics::host_time(double seconds) { step_host_->observe(seconds); }

void EngineMetrics::started(const RequestTimes& times, const Sequence& sequence) {
  queue_->observe(times.started - times.arrived);
  prompt_tokens_->add(sequence.prompt_len);
  computed_tokens_->add(sequence.prompt_len - sequence.cached_len);
  for (base::Counter* cached : {cached_tokens_, found_tokens_, cached_by_source_}) cached->add(sequence.cached_len);
  cached_rate_.add(times.started, sequence.cached_len);
  adapters_.starts(sequence.adapter);
  if (tgi_ != nullptr) tgi_->started(times, sequence);
}

void EngineMetrics::token(double now) {
  generation_tokens_->add();
  generation_rate_.add(now, 1);
}

void EngineMetrics::drafts(int n_draft, int n_accepted) {
  drafts_->add();
  draft_tokens_->add(n_draft);
  accepted_tokens_->add(n_accepted);
  for (int position = 0; position < n_accepted; ++position) accepted_at_[position]->add();
  if (old_ != nullptr) old_->drafts(n_draft, n_accepted);
  if (tgi_ != nullptr) tgi_->drafts(n_accepted);
}

void EngineMetrics::first_of_step(double now, const RequestTimes& times) {
  if (times.first_token == 0) {
    ttft_->observe(now - times.arrived);
    prefill_->observe(now - times.started);
    return;
  }
  inter_token_->observe(now - times.last_token);
  per_output_token_->observe(now - times.last_token);
}

void EngineMetrics::finished(double now, const Finish& finish, const Sequence& sequence, int max_tokens) {
  const RequestTimes& times = finish.times;
  success_[static_cast<size_t>(finish.reason)]->add();
  adapters_.ends(sequence.adapter, times.started > 0);
  if (tgi_ != nullptr) tgi_->finished(now, finish, sequence, max_tokens);
  e2e_->observe(now - times.arrived);
  request_prompt_->observe(finish.prompt_tokens);
  request_generation_->observe(finish.output_tokens);
  request_computed_->observe(finish.prompt_tokens - finish.cached_tokens);
  request_max_tokens_->observe(max_tokens);
  request_preemptions_->observe(sequence.n_preempted);
  if (times.first_token == 0) return;
  decode_->observe(times.last_token - times.first_token);
  inference_->observe(times.last_token - times.started);
  if (finish.output_tokens > 1) {
    request_per_output_token_->observe((times.last_token - times.first_token) / (finish.output_tokens - 1));
  }
}

void EngineMetrics::levels(const EngineStats& stats) {
  running_->set(stats.running);
  waiting_->set(stats.waiting);
  waiting_deferred_->set(stats.deferred);
  waiting_capacity_->set(stats.waiting - stats.deferred);
  if (tgi_ != nullptr) tgi_->levels(stats.running, stats.waiting);
  kv_usage_->set(stats.kv_usage);
  kv_usage_old_->set(stats.kv_usage);
}

void EngineMetrics::cache(const SchedulerCounts& counts) {
  cache_queries_->add(static_cast<double>(counts.cache_queries - counted_.cache_queries));
  cache_hits_->add(static_cast<double>(counts.cache_hits - counted_.cache_hits));
  preemptions_->add(static_cast<double>(counts.preemptions - counted_.preemptions));
  counted_ = counts;
  if (old_ != nullptr) old_->cache(counts);
}

void EngineMetrics::tick(double now, const EngineStats& stats) {
  prompt_speed_->set(prompt_rate_.per_second(now));
  generation_speed_->set(generation_rate_.per_second(now));
  const bool due = log_seconds_ > 0 && now - logged_at_ >= log_seconds_;
  if (due && (!settled(now) || stats.running + stats.waiting > 0)) log(stats, now);
}

void EngineMetrics::log(const EngineStats& stats, double now) {
  logged_at_ = now;
  const double hit_rate = counted_.cache_queries == 0 ? 0 : 100.0 * counted_.cache_hits / counted_.cache_queries;
  base::log_info("engine", absl::StrFormat("%sprompt %.1f tok/s (cached %.1f), generation %.1f tok/s, running %d, "
                                           "waiting %d, KV cache %.1f %% in use, prefix cache hits %.1f %%",
                                           log_name_, prompt_rate_.per_second(now), cached_rate_.per_second(now),
                                           generation_rate_.per_second(now), stats.running, stats.waiting,
                                           100 * stats.kv_usage, hit_rate));
}

}  // namespace polymath::engine
