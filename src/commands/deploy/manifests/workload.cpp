// The pods of a model, the volume with its files, and the job that fills it.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "commands/deploy/manifests/manifests.h"

namespace polymath::commands {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;

constexpr int kUser = 65532;        // of the images
constexpr int kStartupPeriod = 10;  // seconds

JsonObject pod_security() {
  return {{"runAsNonRoot", true},
          {"runAsUser", kUser},
          {"runAsGroup", kUser},
          {"fsGroup", kUser},
          {"fsGroupChangePolicy", "OnRootMismatch"},
          {"seccompProfile", {{"type", "RuntimeDefault"}}}};
}

JsonObject container_security() {
  return {{"allowPrivilegeEscalation", false},
          {"readOnlyRootFilesystem", true},
          {"capabilities", {{"drop", JsonArray{"ALL"}}}}};
}

JsonObject probe(const char* path, int period, int64_t failures) {
  return {{"httpGet", {{"path", path}, {"port", "probes"}}},
          {"periodSeconds", period},
          {"timeoutSeconds", 5},
          {"failureThreshold", failures}};
}

JsonObject volume_mount(const char* name, const char* path, bool read_only) {
  JsonObject out{{"name", name}, {"mountPath", path}};
  if (read_only) out["readOnly"] = true;
  return out;
}

JsonObject cache_volume(const Workload& workload) {
  return {{"name", "models"}, {"persistentVolumeClaim", {{"claimName", cache_name(workload)}}}};
}

// Memory and CPUs are requested; memory and GPUs are limits, too. A limit of CPUs would only slow the server.
JsonObject resources(const Workload& workload) {
  const std::string memory = absl::StrCat(workload.memory_gib(), "Gi");
  return {{"requests", {{"cpu", absl::StrCat(workload.cpus())}, {"memory", memory}, {"nvidia.com/gpu", workload.gpus}}},
          {"limits", {{"memory", memory}, {"nvidia.com/gpu", workload.gpus}}}};
}

JsonObject server_container(const Workload& workload) {
  JsonArray arguments, mounts{volume_mount("models", kModelPath, true), volume_mount("shm", "/dev/shm", false)};
  for (const std::string& argument : workload.arguments) arguments.emplace_back(argument);
  if (workload.has_keys) mounts.push_back(volume_mount("keys", kKeysPath, true));
  return {{"name", "polymath"},
          {"image", workload.image},
          {"args", std::move(arguments)},
          {"env", JsonArray{JsonObject{{"name", "HF_HOME"}, {"value", kModelPath}}}},
          {"ports", JsonArray{JsonObject{{"name", "http"}, {"containerPort", workload.port}},
                              JsonObject{{"name", "probes"}, {"containerPort", workload.probe_port}}}},
          {"resources", resources(workload)},
          {"startupProbe", probe("/ready", kStartupPeriod, workload.startup_seconds() / kStartupPeriod)},
          {"readinessProbe", probe("/ready", 5, 2)},
          {"livenessProbe", probe("/health", 10, 6)},
          {"securityContext", container_security()},
          {"volumeMounts", std::move(mounts)}};
}

JsonObject pod_spec(const Workload& workload) {
  const std::string shm = absl::StrCat(workload.shared_memory_gib(), "Gi");
  JsonArray volumes{cache_volume(workload),
                    JsonObject{{"name", "shm"}, {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", shm}}}}};
  if (workload.has_keys) {
    volumes.push_back(JsonObject{{"name", "keys"}, {"secret", {{"secretName", keys_name(workload)}}}});
  }
  JsonObject out;
  if (!workload.instance.empty()) out["nodeSelector"] = {{"node.kubernetes.io/instance-type", workload.instance}};
  out["tolerations"] =
      JsonArray{JsonObject{{"key", "nvidia.com/gpu"}, {"operator", "Exists"}, {"effect", "NoSchedule"}}};
  out["terminationGracePeriodSeconds"] = workload.grace_seconds();
  out["automountServiceAccountToken"] = false;
  out["securityContext"] = pod_security();
  out["containers"] = JsonArray{server_container(workload)};
  out["volumes"] = std::move(volumes);
  return out;
}

// A volume of one node cannot serve the old pod and the new one.
JsonObject strategy(const Workload& workload) {
  if (workload.replicas_max == 1) return {{"type", "Recreate"}};
  return {{"type", "RollingUpdate"}, {"rollingUpdate", {{"maxSurge", 1}, {"maxUnavailable", 0}}}};
}

}  // namespace

JsonObject deployment(const Workload& workload) {
  JsonObject out = object_head("apps/v1", "Deployment", workload);
  JsonObject spec;
  // An autoscaler owns the number of pods.
  if (workload.replicas_max == workload.replicas) spec["replicas"] = workload.replicas;
  spec["progressDeadlineSeconds"] = workload.startup_seconds() + 300;
  spec["strategy"] = strategy(workload);
  spec["selector"] = {{"matchLabels", selector_labels(workload)}};
  spec["template"] = {{"metadata", {{"labels", selector_labels(workload)}}}, {"spec", pod_spec(workload)}};
  out["spec"] = std::move(spec);
  return out;
}

JsonObject model_cache(const Workload& workload) {
  JsonObject out = object_head("v1", "PersistentVolumeClaim", workload, "-models");
  JsonObject spec{{"accessModes", JsonArray{workload.replicas_max > 1 ? "ReadWriteMany" : "ReadWriteOnce"}}};
  if (!workload.storage_class.empty()) spec["storageClassName"] = workload.storage_class;
  spec["resources"] = {{"requests", {{"storage", absl::StrCat(workload.volume_gib(), "Gi")}}}};
  out["spec"] = std::move(spec);
  return out;
}

JsonObject fill_job(const Workload& workload) {
  JsonObject token{{"name", "HF_TOKEN"},
                   {"valueFrom", {{"secretKeyRef", {{"name", "hf-token"}, {"key", "token"}, {"optional", true}}}}}};
  JsonObject container{
      {"name", "fill"},
      {"image", workload.image},
      {"args", JsonArray{"pull", workload.repository}},
      {"env", JsonArray{JsonObject{{"name", "HF_HOME"}, {"value", kModelPath}}, std::move(token)}},
      {"resources", {{"requests", {{"cpu", "2"}, {"memory", "4Gi"}}}, {"limits", {{"memory", "4Gi"}}}}},
      {"securityContext", container_security()},
      {"volumeMounts", JsonArray{volume_mount("models", kModelPath, false)}}};
  JsonObject out = object_head("batch/v1", "Job", workload, "-fill");
  JsonObject pod{{"restartPolicy", "OnFailure"},
                 {"automountServiceAccountToken", false},
                 {"securityContext", pod_security()},
                 {"containers", JsonArray{std::move(container)}},
                 {"volumes", JsonArray{cache_volume(workload)}}};
  out["spec"] = {{"backoffLimit", 6}, {"template", {{"spec", std::move(pod)}}}};
  return out;
}

}  // namespace polymath::commands
