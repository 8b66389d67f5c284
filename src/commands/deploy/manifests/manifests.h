#pragma once

// Kubernetes objects of a workload, one function each. Fields are in the order in which they are written.
//
// Sources: Kubernetes 1.31, Gateway API 1.2, Gateway API Inference Extension 1.0, KEDA 2.15, Prometheus Operator 0.79.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "commands/deploy/workload.h"

namespace polymath::commands {

// workload.cpp
base::JsonObject deployment(const Workload& workload);
base::JsonObject model_cache(const Workload& workload);  // PersistentVolumeClaim
base::JsonObject fill_job(const Workload& workload);     // downloads the model into it

// network.cpp
base::JsonObject service(const Workload& workload);
base::JsonObject http_route(const Workload& workload, const DeployOptions& options);
base::JsonObject inference_pool(const Workload& workload);

// operations.cpp
base::JsonObject disruption_budget(const Workload& workload);
base::JsonObject pod_autoscaler(const Workload& workload);  // HPA; prometheus-adapter serves its metric
base::JsonObject scaled_object(const Workload& workload);   // KEDA's
base::JsonObject service_monitor(const Workload& workload);
base::JsonObject prometheus_rule(const Workload& workload);

// Every object that the options ask for, as YAML documents; comments at the top say what for.
std::string render(const Workload& workload, const DeployOptions& options, const std::string& command);

// What the functions above share.
base::JsonObject object_head(std::string_view version, std::string_view kind, const Workload& workload,
                             std::string_view suffix = "");
base::JsonObject selector_labels(const Workload& workload);
std::string cache_name(const Workload& workload);
std::string keys_name(const Workload& workload);

inline constexpr const char* kModelPath = "/models";            // HF_HOME of every container
inline constexpr const char* kKeysPath = "/etc/polymath/keys";  // of the Secret's file `keys`
inline constexpr int kWaitingOfPod = 16;                        // requests; more waiting ones ask for another pod

}  // namespace polymath::commands
