#include "commands/deploy/manifests/alerts.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace polymath::commands {
namespace {

// A rate over 5 minutes needs some scrapes of 15 s; an alert that lasts is no single slow request.
constexpr Alert kAlerts[] = {
    {"MoEModelHighLatency",
     "histogram_quantile(0.95, sum by (model_name, le) (rate(vllm:e2e_request_latency_seconds_bucket{SELECTOR}[5m]))) "
     "> 30",
     "5m", "warning", "5 % of the requests take longer than 30 s",
     "polymath doctor says whether queue, prompt or answer takes the time"},
    {"MoEModelKVCacheFull", "max by (model_name, pod) (vllm:kv_cache_usage_perc{SELECTOR}) > 0.95", "2m", "critical",
     "running requests hold over 95 % of the KV cache",
     "requests are not refused: they wait, and running ones are preempted; more replicas, or --kv-cache-dtype fp8"},
    {"MoEModelQueueBacklog", "sum by (model_name, pod) (vllm:num_requests_waiting{SELECTOR}) > 100", "5m", "warning",
     "over 100 requests wait", "more replicas, or --max-num-seqs where the KV cache has room"},
    {"PolymathQueueGrows",
     "sum by (model_name) (vllm:num_requests_waiting{SELECTOR}) > 10 and "
     "sum by (model_name) (deriv(vllm:num_requests_waiting{SELECTOR}[10m])) > 0.05",
     "10m", "warning", "the queue has grown for 10 minutes", "arrivals exceed what the replicas serve"},
    {"PolymathSlowFirstToken",
     "histogram_quantile(0.95, sum by (model_name, le) (rate(vllm:time_to_first_token_seconds_bucket{SELECTOR}[5m]))) "
     "> 5",
     "5m", "warning", "5 % of the requests wait longer than 5 s for a token",
     "prefix caching, a larger --max-num-batched-tokens, or more replicas"},
    {"PolymathErrors",
     "sum by (model_name) (rate(vllm:request_success_total{SELECTOR,finished_reason=\"error\"}[5m])) / "
     "sum by (model_name) (rate(vllm:request_success_total{SELECTOR}[5m])) > 0.01",
     "5m", "critical", "over 1 % of the requests end with an error", "the log names each"},
    {"PolymathRejects", "sum by (model_name, reason) (rate(vllm:admission_rejections_total{SELECTOR}[5m])) > 0.1", "5m",
     "warning", "requests find the queue full", "more replicas; --max-num-queued-reqs bounds the queue"},
    {"PolymathPreempts", "sum by (model_name, pod) (rate(vllm:num_preemptions_total{SELECTOR}[5m])) > 0.1", "10m",
     "warning", "running requests lose their KV blocks and are computed again",
     "lower --max-num-seqs, or more room for the KV cache"},
    {"PolymathExpertsUneven", "max by (model_name, pod) (polymath:expert_imbalance{SELECTOR}) > 4", "15m", "warning",
     "the busiest expert of a layer gets over 4 times the mean",
     "larger batches even it out; --enable-eplb moves experts between ranks"},
    {"PolymathGpuMemory",
     "max by (pod, gpu) (polymath:gpu_memory_bytes{SELECTOR,kind=\"used\"} / "
     "ignoring (kind) polymath:gpu_memory_total_bytes{SELECTOR}) > 0.97",
     "5m", "warning", "over 97 % of a GPU's memory is in use", "lower --gpu-memory-utilization; other processes on it"},
    {"PolymathGpuHot",
     "max by (pod, gpu) (polymath:gpu_clock_limited{SELECTOR,reason=~\"hw_slowdown|hw_thermal|sw_thermal\"}) == 1",
     "5m", "warning", "heat lowers a GPU's clocks", "the node's cooling and its other GPUs"},
    {"PolymathGpuFaulty",
     "max by (pod, gpu) (increase(polymath:gpu_ecc_errors_total{SELECTOR,kind=\"uncorrected\"}[1h])) > 0 or "
     "max by (pod, gpu) (polymath:gpu_row_remap{SELECTOR,state=\"failed\"}) == 1",
     "1m", "critical", "a GPU's memory has errors", "drain the node; the GPU needs a reset, or a replacement"},
    {"PolymathEngineDead", "up{SELECTOR} == 0", "2m", "critical", "a server does not answer its scrapes",
     "the pod's log and its events"},
    {"PolymathNoServer", "absent(up{SELECTOR}) or sum by (job) (up{SELECTOR}) == 0", "10m", "critical",
     "no server of the model is up", "pods that are pending or restart"},
};

}  // namespace

std::span<const Alert> alerts() { return kAlerts; }

base::JsonObject alert_rule(const Alert& alert, const std::string& job) {
  const std::string selector = absl::StrCat("job=\"", job, "\"");
  return {{"alert", std::string(alert.name)},
          {"expr", absl::StrReplaceAll(std::string(alert.expression), {{"SELECTOR", selector}})},
          {"for", std::string(alert.lasting)},
          {"labels", {{"severity", std::string(alert.severity)}}},
          {"annotations", {{"summary", std::string(alert.summary)}, {"description", std::string(alert.help)}}}};
}

}  // namespace polymath::commands
