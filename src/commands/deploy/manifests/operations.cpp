// What keeps the pods running, and watches them.

#include "absl/strings/str_cat.h"
#include "commands/deploy/manifests/alerts.h"
#include "commands/deploy/manifests/manifests.h"

namespace polymath::commands {
namespace {

using base::JsonArray;
using base::JsonObject;

constexpr const char* kPrometheus = "http://prometheus-operated.monitoring.svc:9090";

JsonObject target(const Workload& workload) {
  return {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", workload.name}};
}

// Longer than a pod loads: one that has emptied the queue must not go at once.
int64_t calm_seconds(const Workload& workload) { return 2 * static_cast<int64_t>(workload.load_seconds) + 300; }

}  // namespace

JsonObject disruption_budget(const Workload& workload) {
  JsonObject out = object_head("policy/v1", "PodDisruptionBudget", workload);
  out["spec"] = {{"maxUnavailable", 1}, {"selector", {{"matchLabels", selector_labels(workload)}}}};
  return out;
}

JsonObject pod_autoscaler(const Workload& workload) {
  JsonObject waiting{{"type", "Pods"},
                     {"pods",
                      {{"metric", {{"name", "vllm_num_requests_waiting"}}},
                       {"target", {{"type", "AverageValue"}, {"averageValue", absl::StrCat(kWaitingOfPod)}}}}}};
  JsonObject down{{"stabilizationWindowSeconds", std::min<int64_t>(3600, calm_seconds(workload))},
                  {"policies", JsonArray{JsonObject{{"type", "Pods"}, {"value", 1}, {"periodSeconds", 300}}}}};
  JsonObject out = object_head("autoscaling/v2", "HorizontalPodAutoscaler", workload);
  out["spec"] = {{"scaleTargetRef", target(workload)},
                 {"minReplicas", workload.replicas},
                 {"maxReplicas", workload.replicas_max},
                 {"metrics", JsonArray{std::move(waiting)}},
                 {"behavior", {{"scaleDown", std::move(down)}}}};
  return out;
}

JsonObject scaled_object(const Workload& workload) {
  const std::string query = absl::StrCat("sum(vllm:num_requests_waiting{namespace=\"", workload.space, "\",service=\"",
                                         workload.name, "\"})");
  JsonObject trigger{{"type", "prometheus"},
                     {"metadata",
                      {{"serverAddress", kPrometheus},
                       {"query", query},
                       {"threshold", absl::StrCat(kWaitingOfPod)},
                       {"activationThreshold", "1"}}}};
  JsonObject out = object_head("keda.sh/v1alpha1", "ScaledObject", workload);
  out["spec"] = {{"scaleTargetRef", target(workload)},
                 {"minReplicaCount", workload.replicas},
                 {"maxReplicaCount", workload.replicas_max},
                 {"cooldownPeriod", calm_seconds(workload)},
                 {"triggers", JsonArray{std::move(trigger)}}};
  return out;
}

JsonObject service_monitor(const Workload& workload) {
  JsonObject endpoint{{"port", "metrics"}, {"path", "/metrics"}, {"interval", "15s"}};
  JsonObject out = object_head("monitoring.coreos.com/v1", "ServiceMonitor", workload);
  out["spec"] = {{"selector", {{"matchLabels", selector_labels(workload)}}},
                 {"endpoints", JsonArray{std::move(endpoint)}}};
  return out;
}

JsonObject prometheus_rule(const Workload& workload) {
  JsonArray rules;
  for (const Alert& alert : alerts()) rules.push_back(alert_rule(alert, workload.name));
  JsonObject out = object_head("monitoring.coreos.com/v1", "PrometheusRule", workload);
  out["spec"] = {{"groups", JsonArray{JsonObject{{"name", workload.name}, {"rules", std::move(rules)}}}}};
  return out;
}

}  // namespace polymath::commands
