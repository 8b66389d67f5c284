#include "absl/strings/str_cat.h"
#include "commands/deploy/manifests/manifests.h"
#include "commands/deploy/yaml/yaml.h"

namespace polymath::commands {

using base::JsonObject;

JsonObject selector_labels(const Workload& workload) {
  return {{"app.kubernetes.io/name", "polymath"}, {"app.kubernetes.io/instance", workload.name}};
}

JsonObject object_head(std::string_view version, std::string_view kind, const Workload& workload,
                       std::string_view suffix) {
  return {{"apiVersion", version},
          {"kind", kind},
          {"metadata",
           {{"name", absl::StrCat(workload.name, std::string(suffix))},
            {"namespace", workload.space},
            {"labels", selector_labels(workload)}}}};
}

std::string cache_name(const Workload& workload) { return workload.name + "-models"; }
std::string keys_name(const Workload& workload) { return workload.name + "-keys"; }

std::string render(const Workload& workload, const DeployOptions& options, const std::string& command) {
  std::vector<JsonObject> objects = {model_cache(workload), fill_job(workload), deployment(workload), service(workload),
                                     disruption_budget(workload)};
  if (workload.replicas_max > workload.replicas) {
    objects.push_back(options.scaler == "keda" ? scaled_object(workload) : pod_autoscaler(workload));
  }
  if (!options.host.empty()) objects.push_back(http_route(workload, options));
  if (options.pool) objects.push_back(inference_pool(workload));
  if (options.monitoring) {
    objects.push_back(service_monitor(workload));
    objects.push_back(prometheus_rule(workload));
  }
  std::string out = absl::StrCat("# ", command, "\n");
  for (const std::string& note : workload.notes) absl::StrAppend(&out, "# ", note, "\n");
  if (workload.has_keys) {
    absl::StrAppend(&out, "# needs: kubectl -n ", workload.space, " create secret generic ", keys_name(workload),
                    " --from-file=keys  (a line `name secret` a client)\n");
  }
  for (const JsonObject& object : objects) absl::StrAppend(&out, "---\n", to_yaml(object));
  return out;
}

}  // namespace polymath::commands
