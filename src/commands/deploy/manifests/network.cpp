// How requests reach the pods.

#include "absl/strings/str_cat.h"
#include "commands/deploy/manifests/manifests.h"

namespace polymath::commands {
namespace {

using base::JsonArray;
using base::JsonObject;

constexpr int kPickerPort = 9002;  // of the endpoint picker's ext-proc service

JsonObject rewrite(const char* prefix) {
  return {{"type", "URLRewrite"},
          {"urlRewrite", {{"path", {{"type", "ReplacePrefixMatch"}, {"replacePrefixMatch", prefix}}}}}};
}

}  // namespace

JsonObject service(const Workload& workload) {
  JsonObject out = object_head("v1", "Service", workload);
  out["spec"] = {
      {"type", "ClusterIP"},
      {"selector", selector_labels(workload)},
      {"ports", JsonArray{JsonObject{{"name", "http"}, {"port", workload.port}, {"targetPort", "http"}},
                          JsonObject{{"name", "metrics"}, {"port", workload.probe_port}, {"targetPort", "probes"}}}}};
  return out;
}

// One rule, one match: other models have routes of their own on the same host, and the longest prefix wins.
JsonObject http_route(const Workload& workload, const DeployOptions& options) {
  const size_t slash = options.gateway.find('/');
  JsonObject parent{{"name", options.gateway.substr(slash == std::string::npos ? 0 : slash + 1)}};
  if (slash != std::string::npos) parent["namespace"] = options.gateway.substr(0, slash);
  const std::string prefix = options.prefix.empty() ? "/v1/" + workload.name : options.prefix;
  JsonObject backend{{"name", workload.name}, {"port", workload.port}};
  if (options.pool) {
    backend = {{"group", "inference.networking.k8s.io"}, {"kind", "InferencePool"}, {"name", workload.name}};
  }
  JsonObject rule{{"matches", JsonArray{JsonObject{{"path", {{"type", "PathPrefix"}, {"value", prefix}}}}}}};
  if (prefix != "/" && prefix != "/v1") rule["filters"] = JsonArray{rewrite("/v1")};
  rule["timeouts"] = {{"request", "0s"}};  // a stream may take as long as its answer
  rule["backendRefs"] = JsonArray{std::move(backend)};
  JsonObject out = object_head("gateway.networking.k8s.io/v1", "HTTPRoute", workload);
  out["spec"] = {{"parentRefs", JsonArray{std::move(parent)}},
                 {"hostnames", JsonArray{options.host}},
                 {"rules", JsonArray{std::move(rule)}}};
  return out;
}

JsonObject inference_pool(const Workload& workload) {
  JsonObject out = object_head("inference.networking.k8s.io/v1", "InferencePool", workload);
  out["spec"] = {
      {"selector", {{"matchLabels", selector_labels(workload)}}},
      {"targetPorts", JsonArray{JsonObject{{"number", workload.port}}}},
      {"endpointPickerRef",
       {{"name", workload.name + "-epp"}, {"port", {{"number", kPickerPort}}}, {"failureMode", "FailOpen"}}}};
  return out;
}

}  // namespace polymath::commands
