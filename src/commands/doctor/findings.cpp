#include "commands/doctor/findings.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "commands/flags/flag_values.h"
#include "commands/text_table.h"

namespace polymath::commands {
namespace {

// Thresholds: the guide's alerts, then ours.
constexpr double kWaitingMax = 100;                            // requests; more: a problem
constexpr double kKvUsageMax = 0.95;                           // share; more: a problem
constexpr double kLatencyMax = 30;                             // seconds, 95th percentile; more: a problem
constexpr double kPreemptedMax = 0.01;                         // of admitted requests; more: a problem
constexpr double kErrorsMax = 0.001;                           // of ended requests; more: a problem
constexpr double kImbalanceMax = 4;                            // busiest expert over the mean; more: a note
constexpr double kFilesMax = 0.8;                              // of allowed files; more: a problem
constexpr double kHitsLeast = 0.05, kLookedUpLeast = 100'000;  // prompt tokens: fewer look-ups say nothing
constexpr double kAcceptedLeast = 0.3, kDraftedLeast = 1000;   // draft tokens: the same
constexpr double kDay = 86400, kCertificateDaysLeast = 14;

using Findings = std::vector<Finding>;

std::string percent(double share) { return absl::StrCat(fixed(100 * share, share < 0.1 ? 1 : 0), " %"); }
std::string count(double value) { return with_commas(std::llround(value)); }

constexpr const char* kMoreRoom =
    "more room: --gpu-memory-utilization or --kv-cache-memory-bytes up, --kv-cache-dtype fp8, --tensor-parallel-size "
    "over more GPUs; less need: --max-model-len or --max-num-seqs down";

void look_at_queue(const Exposition& m, Findings& out) {
  const double waiting = m.sum("vllm:num_requests_waiting").value_or(0);
  const double running = m.sum("vllm:num_requests_running").value_or(0);
  if (waiting <= kWaitingMax) return;
  const bool full = m.sum("vllm:kv_cache_usage_perc").value_or(0) > 0.8;
  out.push_back({Level::kProblem, absl::StrCat(count(waiting), " requests wait while ", count(running), " run"),
                 full ? absl::StrCat("the KV cache is what bounds it; ", kMoreRoom)
                      : "the KV cache has room: raise --max-num-seqs; else start more replicas"});
}

// Out of memory, as a server that lives sees it: no KV blocks are left.
void look_at_kv_cache(const Exposition& m, Findings& out) {
  const double usage = m.sum("vllm:kv_cache_usage_perc").value_or(0);
  if (usage > kKvUsageMax) {
    out.push_back(
        {Level::kProblem, absl::StrCat("running requests hold ", percent(usage), " of the KV cache"), kMoreRoom});
  }
  const double preempted = m.sum("vllm:num_preemptions_total").value_or(0);
  const double admitted = m.sum("polymath:admitted_requests_total").value_or(0);
  if (admitted > 0 && preempted > kPreemptedMax * admitted) {
    out.push_back({Level::kProblem,
                   absl::StrCat(count(preempted), " times a running request lost its KV blocks, of ", count(admitted),
                                " requests; its tokens were computed again"),
                   kMoreRoom});
  }
}

void look_at_refusals(const Exposition& m, Findings& out) {
  for (const Sample* sample : m.all("vllm:admission_rejections_total")) {
    if (!(sample->value > 0)) continue;
    out.push_back({Level::kNote,
                   absl::StrCat(count(sample->value), " requests found the queue full (",
                                std::string(sample->label("reason")), ")"),
                   "--max-num-queued-reqs and --max-num-queued-tokens bound it; more replicas empty it"});
  }
}

void look_at_latency(const Exposition& m, Findings& out) {
  const auto total = m.quantile("vllm:e2e_request_latency_seconds", 0.95);
  if (!total || *total <= kLatencyMax) return;
  const double queue = m.quantile("vllm:request_queue_time_seconds", 0.95).value_or(0);
  const double prefill = m.quantile("vllm:request_prefill_time_seconds", 0.95).value_or(0);
  const double decode = m.quantile("vllm:request_decode_time_seconds", 0.95).value_or(0);
  const double most = std::max({queue, prefill, decode});
  const char* help =
      "decoding takes most of it: fewer --max-num-seqs, --tensor-parallel-size, packed weights "
      "(--quantization), or a lower max_tokens";
  if (most == queue) help = "waiting takes most of it: more replicas, or --max-num-seqs where the KV cache has room";
  if (most == prefill) help = "prompts take most of it: prefix caching, a larger --max-num-batched-tokens, more GPUs";
  out.push_back({Level::kProblem,
                 absl::StrCat("5 % of the requests take longer than ", fixed(*total, 0), " s (queue ", fixed(queue, 1),
                              ", prompt ", fixed(prefill, 1), ", answer ", fixed(decode, 1), ")"),
                 help});
}

void look_at_prefix_cache(const Exposition& m, Findings& out) {
  const double queries = m.sum("vllm:prefix_cache_queries_total").value_or(0);
  const double hits = m.sum("vllm:prefix_cache_hits_total").value_or(0);
  if (queries < kLookedUpLeast || hits > kHitsLeast * queries) return;
  out.push_back({Level::kNote,
                 absl::StrCat("the prefix cache finds ", percent(hits / queries), " of the prompts' tokens"),
                 "put what changes at the end of prompts; send a conversation to the same replica"});
}

// The layers with the most uneven experts.
void look_at_experts(const Exposition& m, Findings& out) {
  std::vector<const Sample*> layers = m.all("polymath:expert_imbalance");
  std::sort(layers.begin(), layers.end(), [](const Sample* a, const Sample* b) { return a->value > b->value; });
  std::vector<std::string> worst;
  for (const Sample* layer : layers) {
    if (!(layer->value > kImbalanceMax) || worst.size() == 3) break;
    worst.push_back(
        absl::StrCat("layer ", std::string(layer->label("layer")), ": ", fixed(layer->value, 1), " times the mean"));
  }
  if (!worst.empty()) {
    const double cost = m.sum("polymath:estimated_imbalance_microseconds_total", "over", "ranks").value_or(0);
    const std::string waited =
        cost > 0 ? absl::StrCat("; ranks waited some ", fixed(cost / 1e6, 1), " s for the busiest") : "";
    out.push_back({Level::kNote,
                   absl::StrCat("experts are uneven, the busiest has in ", absl::StrJoin(worst, ", "), waited),
                   "larger batches spread tokens (--max-num-seqs); without --enable-expert-parallel no rank waits for "
                   "another's experts; --expert-metrics expert shows which"});
  }
  const double dropped = m.sum("polymath:expert_dropped_tokens_total").value_or(0);
  if (dropped > 0) {
    out.push_back({Level::kNote, absl::StrCat(count(dropped), " choices of experts were dropped: they were full"),
                   "the model's capacity factor bounds an expert; smaller --max-num-batched-tokens drop other tokens"});
  }
}

void look_at_failures(const Exposition& m, Findings& out) {
  const double ended = m.sum("vllm:request_success_total").value_or(0);
  const double errors = m.sum("vllm:request_success_total", "finished_reason", "error").value_or(0);
  if (ended > 0 && errors > kErrorsMax * ended) {
    out.push_back({Level::kProblem, absl::StrCat(count(errors), " of ", count(ended), " requests ended with an error"),
                   "the log names each; after a device's error the process ends and must be started again"});
  }
  const double corrupted = m.sum("vllm:corrupted_requests_total").value_or(0);
  if (corrupted > 0) {
    out.push_back({Level::kProblem, absl::StrCat(count(corrupted), " requests met logits that are NaN or infinite"),
                   "try --dtype float32; check the checkpoint's files"});
  }
}

void look_at_memory(const Exposition& m, Findings& out) {
  for (const char* kind : {"weights", "scratch", "kv_cache"}) {
    const auto planned = m.sum("polymath:memory_planned_bytes", "kind", kind);
    const auto allocated = m.sum("polymath:memory_bytes", "kind", kind);
    if (!planned || !allocated || *planned == *allocated) continue;
    out.push_back({Level::kNote,
                   absl::StrCat("memory of ", kind, ": ", bytes_text(*allocated), " instead of the planned ",
                                bytes_text(*planned)),
                   "a fault of the plan: report it with the model's config.json"});
  }
}

void look_at_drafts(const Exposition& m, Findings& out) {
  const double drafted = m.sum("vllm:spec_decode_num_draft_tokens_total").value_or(0);
  const double accepted = m.sum("vllm:spec_decode_num_accepted_tokens_total").value_or(0);
  if (drafted < kDraftedLeast || accepted > kAcceptedLeast * drafted) return;
  out.push_back({Level::kNote, absl::StrCat(percent(accepted / drafted), " of the draft tokens are accepted"),
                 "fewer num_speculative_tokens in --speculative-config, or none: each rejected one costs a row"});
}

void look_at_files(const Exposition& m, Findings& out) {
  const double open = m.sum("process_open_fds").value_or(0), most = m.sum("process_max_fds").value_or(0);
  if (most <= 0 || open <= kFilesMax * most) return;
  out.push_back({Level::kProblem, absl::StrCat(count(open), " of ", count(most), " files are open"),
                 "raise ulimit -n; clients that hold idle connections take one each"});
}

}  // namespace

Findings findings_of_server(const Exposition& metrics, double now) {
  Findings out;
  for (const auto look : {look_at_queue, look_at_kv_cache, look_at_refusals, look_at_latency, look_at_prefix_cache,
                          look_at_experts, look_at_failures, look_at_memory, look_at_drafts, look_at_files}) {
    look(metrics, out);
  }
  const auto expiry = metrics.sum("polymath:tls_certificate_expiry_timestamp_seconds");
  if (now > 0 && expiry && *expiry - now < kCertificateDaysLeast * kDay) {
    const double days = std::max(0.0, (*expiry - now) / kDay);
    out.push_back({Level::kProblem, absl::StrCat("the TLS certificate ends in ", fixed(days, 0), " days"),
                   "renew it; --enable-ssl-refresh reads a new one without a restart"});
  }
  return out;
}

Finding disk_finding(double bytes, double bytes_per_second) {
  constexpr double kSlowSeconds = 600;  // the guide's: a longer load is a problem
  const double seconds = bytes / bytes_per_second;
  const std::string what =
      absl::StrCat("the weights' ", bytes_text(bytes), " take ", fixed(seconds, seconds < 10 ? 1 : 0), " s to read at ",
                   bytes_text(bytes_per_second), "/s");
  if (seconds <= kSlowSeconds) return {Level::kFine, what, ""};
  return {Level::kProblem, what,
          "keep the model on a local disk or a fast shared one (a model cache volume, FSx for Lustre), or in fewer "
          "bytes: polymath quantize"};
}

std::string findings_text(Findings findings) {
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.level > b.level; });
  constexpr const char* kNames[] = {"fine", "note", "PROBLEM"};
  std::string out;
  for (const Finding& finding : findings) {
    out += wrapped(absl::StrCat(kNames[static_cast<int>(finding.level)], ": ", finding.what));
    if (!finding.help.empty()) out += wrapped("  help: " + finding.help);
  }
  return out.empty() ? "nothing is wrong\n" : out;
}

}  // namespace polymath::commands
