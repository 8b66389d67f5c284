#include "engine/metrics/tgi_metrics.h"

#include <algorithm>

namespace polymath::engine {
namespace {

// `n` bounds, the last of them `max`.
std::vector<double> linear(int n, double max) {
  std::vector<double> out;
  for (int i = 1; i <= n; ++i) out.push_back(max * i / n);
  return out;
}

constexpr int kLengthBounds = 100, kBatchSizeMax = 1024;

}  // namespace

std::vector<double> tgi_durations() {
  constexpr int kBounds = 35;
  std::vector<double> out;
  for (double bound = 1.5e-4; static_cast<int>(out.size()) < kBounds; bound *= 1.5) out.push_back(bound);
  return out;
}

TgiMetrics::TgiMetrics(const EngineOptions& options, base::MetricsRegistry& registry)
    : batches_{make_batches("prefill", registry), make_batches("decode", registry)} {
  const auto gauge = [&](const char* name, const char* help) { return &registry.gauge(name, help, {}); };
  queue_ = gauge("tgi_queue_size", "Requests that wait to run.");
  batch_ = gauge("tgi_batch_current_size", "Requests that run.");
  batch_tokens_ = gauge("tgi_batch_current_max_tokens", "Tokens that the running requests may grow to, with prompts.");
  gauge("tgi_batch_max_total_tokens", "Tokens that the KV cache holds.")
      ->set(static_cast<double>(options.n_blocks * options.block_size));
  batch_next_ = &registry.histogram("tgi_batch_next_size", "Requests that start in one step.", {},
                                    linear(kBatchSizeMax, kBatchSizeMax));
  make_requests(options, registry);
}

void TgiMetrics::make_requests(const EngineOptions& options, base::MetricsRegistry& registry) {
  const auto histogram = [&](const char* name, const char* help, std::vector<double> bounds) {
    return &registry.histogram(name, help, {}, std::move(bounds));
  };
  const auto failure = [&](const char* error) {
    return &registry.counter("tgi_request_failure", "Requests that failed, by what went wrong.", {{"err", error}});
  };
  success_ = &registry.counter("tgi_request_success", "Requests that ended well.", {});
  failed_ = failure("generation");
  dropped_ = failure("dropped");
  duration_ = histogram("tgi_request_duration", "From arrival to the end, in seconds.", tgi_durations());
  queue_duration_ =
      histogram("tgi_request_queue_duration", "From arrival to the first step, in seconds.", tgi_durations());
  inference_ =
      histogram("tgi_request_inference_duration", "From the first step to the end, in seconds.", tgi_durations());
  per_token_ = histogram("tgi_request_mean_time_per_token_duration", "Inference seconds a token.", tgi_durations());
  const std::vector<double> lengths = linear(kLengthBounds, std::max(1, options.model_len_max));
  input_ = histogram("tgi_request_input_length", "Prompt tokens of a request.", lengths);
  generated_ = histogram("tgi_request_generated_tokens", "Tokens generated for a request.", lengths);
  max_new_ = histogram("tgi_request_max_new_tokens", "Tokens that a request may generate.", lengths);
  if (options.speculation.method.empty()) return;
  std::vector<double> accepted = {0};
  while (accepted.back() < options.speculation.n_draft_max) accepted.push_back(accepted.back() + 1);
  skipped_ = histogram("tgi_request_skipped_tokens", "Tokens of a draft that were accepted.", accepted);
}

TgiMetrics::Batches TgiMetrics::make_batches(const char* method, base::MetricsRegistry& registry) {
  const base::Labels labels = {{"method", method}};
  const auto counter = [&](const char* name, const char* help) { return &registry.counter(name, help, labels); };
  const auto seconds = [&](const char* name, const char* help) {
    return &registry.histogram(name, help, labels, tgi_durations());
  };
  return {
      .count = counter("tgi_batch_inference_count", "Steps."),
      .successes = counter("tgi_batch_inference_success", "Steps that ended well."),
      .failures = counter("tgi_batch_inference_failure", "Steps that failed."),
      .duration = seconds("tgi_batch_inference_duration", "Seconds of a step."),
      .forward = seconds("tgi_batch_forward_duration", "Seconds of a step in the model."),
      .decode = seconds("tgi_batch_decode_duration", "Seconds of a step to sample and hand on tokens on the host.")};
}

void TgiMetrics::started(const RequestTimes& times, const Sequence& sequence) {
  queue_duration_->observe(times.started - times.arrived);
  n_batch_tokens_ += sequence.token_len_max;
}

void TgiMetrics::step(const StepRecord& step) {
  const Batches& batches = batches_[step.n_prompt > 0 ? 0 : 1];
  batches.count->add();
  batches.successes->add();
  batches.duration->observe(step.forward_seconds + step.deliver_seconds);
  batches.forward->observe(step.forward_seconds);
  batches.decode->observe(step.deliver_seconds);
  if (step.n_new > 0) batch_next_->observe(step.n_new);
}

void TgiMetrics::step_failed(bool prefill) {
  batches_[prefill ? 0 : 1].count->add();
  batches_[prefill ? 0 : 1].failures->add();
}

void TgiMetrics::drafts(int n_accepted) { skipped_->observe(n_accepted); }

void TgiMetrics::finished(double now, const Finish& finish, const Sequence& sequence, int max_tokens) {
  const bool started = finish.times.started > 0;
  if (started) n_batch_tokens_ -= sequence.token_len_max;
  if (finish.reason == FinishReason::kError) return failed_->add();
  if (finish.reason == FinishReason::kCancelled) return dropped_->add();
  success_->add();
  duration_->observe(now - finish.times.arrived);
  input_->observe(finish.prompt_tokens);
  generated_->observe(finish.output_tokens);
  max_new_->observe(max_tokens);
  if (!started) return;
  const double inference = now - finish.times.started;
  inference_->observe(inference);
  if (finish.output_tokens > 0) per_token_->observe(inference / finish.output_tokens);
}

void TgiMetrics::levels(int n_running, int n_waiting) {
  queue_->set(n_waiting);
  batch_->set(n_running);
  batch_tokens_->set(static_cast<double>(n_batch_tokens_));
}

}  // namespace polymath::engine
