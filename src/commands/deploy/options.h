#pragma once

// What `deploy` reads beside the model and its plan.

#include <string>
#include <vector>

namespace polymath::commands {

struct DeployOptions {
  std::vector<std::string> check;  // manifests to check; nothing is rendered then
  std::string metrics;             // with check: a file with a server's /metrics; empty: not compared
  std::string name;                // of the objects; empty: from the model's
  std::string space = "inference";
  std::string image = "polymath:0.1.0-cuda";
  std::string repository;  // what the cluster loads; empty: the model's name
  int replicas = 1;
  int replicas_max = 0;          // 0: no autoscaler
  std::string scaler = "hpa";    // or "keda"
  double load_seconds = 0;       // measured, from the process's start until it is ready; 0: by read_rate
  double read_rate = 250 << 20;  // bytes a second, of the volume with the model
  std::string storage_class;     // empty: the cluster's default
  std::string host, prefix;      // of the HTTPRoute; no host: none. No prefix: /v1/NAME
  std::string gateway = "kgateway-system/inference-gateway";
  bool pool = false;       // an InferencePool between the route and the pods
  bool monitoring = true;  // ServiceMonitor and PrometheusRule
};

}  // namespace polymath::commands
