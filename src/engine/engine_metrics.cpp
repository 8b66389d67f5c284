#include "engine/engine_metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"

namespace polymath::engine {
namespace {

using Bounds = std::vector<double>;

constexpr double kLogSeconds = 10;

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

base::Labels with(base::Labels labels, std::string name, std::string value) {
  labels.emplace_back(std::move(name), std::move(value));
  return labels;
}

}  // namespace

EngineMetrics::EngineMetrics(const EngineOptions& options, const model::Model& model, base::MetricsRegistry& registry)
    : labels_{{"engine", "0"}, {"model_name", options.model_name}},
      experts_(model, labels_, options.expert_series, registry) {
  const auto gauge = [&](const char* name, const char* help) { return &registry.gauge(name, help, labels_); };
  const auto counter = [&](const char* name, const char* help) { return &registry.counter(name, help, labels_); };
  running_ = gauge("vllm:num_requests_running", "Requests that hold KV blocks.");
  waiting_ = gauge("vllm:num_requests_waiting", "Requests that wait to run.");
  kv_usage_ = gauge("vllm:kv_cache_usage_perc", "KV blocks held by running requests; 1 is all of them.");
  kv_usage_old_ = gauge("vllm:gpu_cache_usage_perc", "The same as vllm:kv_cache_usage_perc, under its older name.");
  prompt_speed_ =
      gauge("vllm:avg_prompt_throughput_toks_per_s", "Prompt tokens computed a second, over the last seconds.");
  generation_speed_ =
      gauge("vllm:avg_generation_throughput_toks_per_s", "Tokens generated a second, over the last seconds.");
  cache_queries_ = counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.");
  cache_hits_ = counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.");
  preemptions_ = counter("vllm:num_preemptions_total", "Times that a running request lost its KV blocks.");
  prompt_tokens_ = counter("vllm:prompt_tokens_total", "Prompt tokens of the requests that started.");
  cached_tokens_ = counter("vllm:prompt_tokens_cached_total", "Of the prompt tokens: found in the prefix cache.");
  generation_tokens_ = counter("vllm:generation_tokens_total", "Tokens generated.");
  make_request_metrics(options, registry);
  make_times(registry);
  if (!options.speculation.method.empty()) make_speculation(options.speculation, registry);
  base::Labels config = labels_;
  config.emplace_back("block_size", absl::StrCat(options.block_size));
  config.emplace_back("num_gpu_blocks", absl::StrCat(options.n_blocks));
  config.emplace_back("enable_prefix_caching", options.prefix_caching ? "True" : "False");
  registry.gauge("vllm:cache_config_info", "How the KV cache is laid out, as labels.", std::move(config)).set(1);
}

void EngineMetrics::make_request_metrics(const EngineOptions& options, base::MetricsRegistry& registry) {
  const auto histogram = [&](const char* name, const char* help, Bounds bounds) {
    return &registry.histogram(name, help, labels_, std::move(bounds));
  };
  const Bounds lengths = base::one_two_five(std::max(1, options.model_len_max));
  request_prompt_ = histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", lengths);
  request_generation_ = histogram("vllm:request_generation_tokens", "Tokens generated for a request.", lengths);
  request_max_tokens_ = histogram("vllm:request_params_max_tokens", "max_tokens of a request.", lengths);
  iteration_tokens_ = histogram("vllm:iteration_tokens_total", "Tokens in a forward pass.", iteration_bounds());
  for (int reason = 0; reason < static_cast<int>(FinishReason::kCount); ++reason) {
    const char* name = finish_reason_name(static_cast<FinishReason>(reason));
    success_.push_back(&registry.counter("vllm:request_success_total", "Requests that ended, by the reason.",
                                         with(labels_, "finished_reason", name)));
  }
}

void EngineMetrics::make_times(base::MetricsRegistry& registry) {
  const auto histogram = [&](const char* name, const char* help, const Bounds& bounds) {
    return &registry.histogram(name, help, labels_, bounds);
  };
  ttft_ = histogram("vllm:time_to_first_token_seconds", "From arrival to the first token.", first_token_bounds());
  inter_token_ = histogram("vllm:inter_token_latency_seconds", "From a token to the next.", token_bounds());
  per_output_token_ = histogram("vllm:time_per_output_token_seconds",
                                "The same as vllm:inter_token_latency_seconds, under its older name.", token_bounds());
  request_per_output_token_ = histogram("vllm:request_time_per_output_token_seconds",
                                        "A request's mean time from a token to the next.", token_bounds());
  queue_ = histogram("vllm:request_queue_time_seconds", "From arrival to the first step.", request_bounds());
  prefill_ =
      histogram("vllm:request_prefill_time_seconds", "From the first step to the first token.", request_bounds());
  decode_ = histogram("vllm:request_decode_time_seconds", "From the first token to the last.", request_bounds());
  inference_ =
      histogram("vllm:request_inference_time_seconds", "From the first step to the last token.", request_bounds());
  step_host_ = histogram("polymath:step_host_seconds",
                         "Time of the engine thread on a step, except waiting for the device or computing for it.",
                         host_bounds());
  e2e_ = histogram("vllm:e2e_request_latency_seconds", "From arrival to the end.", request_bounds());
}

void EngineMetrics::make_speculation(const SpeculationOptions& options, base::MetricsRegistry& registry) {
  const auto counter = [&](const char* name, const char* help, const base::Labels& labels) {
    return &registry.counter(name, help, labels);
  };
  drafts_ = counter("vllm:spec_decode_num_drafts_total", "Drafts: at most one a request in a step.", labels_);
  draft_tokens_ = counter("vllm:spec_decode_num_draft_tokens_total", "Tokens of all drafts.", labels_);
  accepted_tokens_ = counter("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens that were accepted.", labels_);
  for (int position = 0; position < options.n_draft_max; ++position) {
    accepted_at_.push_back(counter("vllm:spec_decode_num_accepted_tokens_per_pos_total",
                                   "Draft tokens that were accepted, by their position in the draft.",
                                   with(labels_, "position", absl::StrCat(position))));
  }
}

void EngineMetrics::step(double now, int n_tokens, int n_prompt_tokens) {
  if (settled(now)) logged_at_ = now;  // the first step after idling: the next line is due in kLogSeconds
  iteration_tokens_->observe(n_tokens);
  prompt_rate_.add(now, n_prompt_tokens);
}

void EngineMetrics::host_time(double seconds) { step_host_->observe(seconds); }

void EngineMetrics::started(const RequestTimes& times, const Sequence& sequence) {
  queue_->observe(times.started - times.arrived);
  prompt_tokens_->add(sequence.prompt_len);
  cached_tokens_->add(sequence.cached_len);
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

void EngineMetrics::finished(double now, const RequestTimes& times, const Finish& finish, int max_tokens) {
  success_[static_cast<size_t>(finish.reason)]->add();
  e2e_->observe(now - times.arrived);
  request_prompt_->observe(finish.prompt_tokens);
  request_generation_->observe(finish.output_tokens);
  request_max_tokens_->observe(max_tokens);
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
  kv_usage_->set(stats.kv_usage);
  kv_usage_old_->set(stats.kv_usage);
}

void EngineMetrics::cache(const SchedulerCounts& counts) {
  cache_queries_->add(static_cast<double>(counts.cache_queries - counted_.cache_queries));
  cache_hits_->add(static_cast<double>(counts.cache_hits - counted_.cache_hits));
  preemptions_->add(static_cast<double>(counts.preemptions - counted_.preemptions));
  counted_ = counts;
}

void EngineMetrics::tick(double now, const EngineStats& stats) {
  prompt_speed_->set(prompt_rate_.per_second(now));
  generation_speed_->set(generation_rate_.per_second(now));
  if (now - logged_at_ >= kLogSeconds && !settled(now)) log(stats, now);
}

void EngineMetrics::log(const EngineStats& stats, double now) {
  logged_at_ = now;
  const double hit_rate = counted_.cache_queries == 0 ? 0 : 100.0 * counted_.cache_hits / counted_.cache_queries;
  base::log_info("engine", absl::StrFormat("prompt %.1f tok/s, generation %.1f tok/s, running %d, waiting %d, "
                                           "KV cache %.1f %% in use, prefix cache hits %.1f %%",
                                           prompt_rate_.per_second(now), generation_rate_.per_second(now),
                                           stats.running, stats.waiting, 100 * stats.kv_usage, hit_rate));
}

}  // namespace polymath::engine
