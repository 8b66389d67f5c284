#include "engine/metrics/old_metrics.h"

namespace polymath::engine {
namespace {

constexpr double kNoCache = -1;  // vLLM 0.6.3's hit rate of a cache that is not there

}  // namespace

OldMetrics::OldMetrics(const EngineOptions& options, const base::Labels& labels, base::MetricsRegistry& registry) {
  const auto gauge = [&](const char* name, const char* help) { return &registry.gauge(name, help, labels); };
  gauge("vllm:num_requests_swapped", "Always 0: a preempted request computes its tokens again.");
  gauge("vllm:cpu_cache_usage_perc", "Always 0: no KV is swapped to a second cache.");
  gauge("vllm:cpu_prefix_cache_hit_rate", "Always -1: there is no second cache.")->set(kNoCache);
  hit_rate_ =
      gauge("vllm:gpu_prefix_cache_hit_rate", "Share of prompt tokens found in the prefix cache; -1: it is off.");
  if (!options.prefix_caching) hit_rate_->set(kNoCache);
  if (options.speculation.method.empty()) return;
  acceptance_ = gauge("vllm:spec_decode_draft_acceptance_rate", "Share of the draft tokens that were accepted.");
  efficiency_ = gauge("vllm:spec_decode_efficiency",
                      "Tokens that steps with drafts gave, over those with every draft token accepted.");
  emitted_ =
      &registry.counter("vllm:spec_decode_num_emitted_tokens_total", "Tokens that steps with drafts gave.", labels);
}

void OldMetrics::cache(const SchedulerCounts& counts) {
  if (counts.cache_queries == 0) return;
  hit_rate_->set(static_cast<double>(counts.cache_hits) / static_cast<double>(counts.cache_queries));
}

// A draft gives its accepted tokens and one more.
void OldMetrics::drafts(int n_draft, int n_accepted) {
  ++n_drafts_;
  n_draft_tokens_ += n_draft;
  n_accepted_ += n_accepted;
  emitted_->add(n_accepted + 1);
  acceptance_->set(n_accepted_ / n_draft_tokens_);
  efficiency_->set((n_accepted_ + n_drafts_) / (n_draft_tokens_ + n_drafts_));
}

}  // namespace polymath::engine
