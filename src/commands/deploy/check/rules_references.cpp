// What objects say of each other: selectors, ports, claims, targets.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "commands/deploy/check/check.h"

namespace polymath::commands {
namespace {

// A container port by number or name.
bool has_port(const Pod& pod, const std::string& port) {
  for (const base::JsonValue* container : list_at(*pod.spec, "containers")) {
    for (const base::JsonValue* row : list_at(*container, "ports")) {
      if (text_at(*row, "name") == port || text_at(*row, "containerPort") == port) return true;
    }
  }
  return false;
}

void check_service(const Objects& objects, const Object& service, Complaints& complaints) {
  const auto pods = objects.select(service.space, labels_at(service.value, "spec.selector"));
  if (pods.empty()) return complaints.add(service, "spec.selector: no pod of the namespace has these labels");
  const auto ports = list_at(service.value, "spec.ports");
  std::set<std::string> names, numbers;
  for (const base::JsonValue* port : ports) {
    const std::string number = text_at(*port, "port"), name = text_at(*port, "name");
    const std::string target = value_at(*port, "targetPort") != nullptr ? text_at(*port, "targetPort") : number;
    const bool found = std::any_of(pods.begin(), pods.end(), [&](const Pod* pod) { return has_port(*pod, target); });
    if (!found) complaints.add(service, absl::StrCat("targetPort ", target, " is no port of the pods"));
    if (ports.size() > 1 && name.empty()) complaints.add(service, "spec.ports: of several, each needs a name");
    if (!names.insert(name).second || !numbers.insert(number).second) {
      complaints.add(service, "spec.ports: two have the same name or number");
    }
  }
}

void check_monitor(const Objects& objects, const Object& monitor, Complaints& complaints) {
  const Labels wanted = labels_at(monitor.value, "spec.selector.matchLabels");
  std::set<std::string> spaces;
  for (const base::JsonValue* space : list_at(monitor.value, "spec.namespaceSelector.matchNames")) {
    spaces.insert(text_at(*space, ""));
  }
  const bool any = text_at(monitor.value, "spec.namespaceSelector.any") == "true";
  if (spaces.empty()) spaces.insert(monitor.space);
  std::vector<const Object*> services;
  for (const Object* service : objects.of_kind("Service")) {
    const Labels has = labels_at(service->value, "metadata.labels");
    const bool hits = std::includes(has.begin(), has.end(), wanted.begin(), wanted.end());
    if (hits && (any || spaces.contains(service->space))) services.push_back(service);
  }
  if (services.empty()) return complaints.add(monitor, "spec.selector: no Service of these namespaces has such labels");
  for (const base::JsonValue* endpoint : list_at(monitor.value, "spec.endpoints")) {
    const std::string port = text_at(*endpoint, "port");
    if (port.empty()) continue;
    const bool found = std::any_of(services.begin(), services.end(), [&](const Object* service) {
      const auto ports = list_at(service->value, "spec.ports");
      return std::any_of(ports.begin(), ports.end(), [&](const auto* p) { return text_at(*p, "name") == port; });
    });
    if (!found) complaints.add(monitor, absl::StrCat("port ", port, " is the name of no port of the Service"));
  }
}

void check_selector(const Pod& pod, Complaints& complaints) {
  if (pod.owner->kind != "Deployment") return;
  const Labels wanted = labels_at(pod.owner->value, "spec.selector.matchLabels");
  if (!std::includes(pod.labels.begin(), pod.labels.end(), wanted.begin(), wanted.end())) {
    complaints.add(*pod.owner, "spec.selector: the template's labels do not match it");
  }
}

void check_pool(const Objects& objects, const Object& pool, Complaints& complaints) {
  const auto pods = objects.select(pool.space, labels_at(pool.value, "spec.selector.matchLabels"));
  if (pods.empty()) return complaints.add(pool, "spec.selector: no pod of the namespace has these labels");
  for (const base::JsonValue* port : list_at(pool.value, "spec.targetPorts")) {
    const std::string number = text_at(*port, "number");
    if (!has_port(*pods.front(), number)) {
      complaints.add(pool, absl::StrCat("targetPorts: ", number, " is no port of the pods"));
    }
  }
}

void check_budget(const Objects& objects, const Object& budget, Complaints& complaints) {
  const auto pods = objects.select(budget.space, labels_at(budget.value, "spec.selector.matchLabels"));
  if (pods.empty()) return complaints.add(budget, "spec.selector: no pod of the namespace has these labels");
  const std::string least = text_at(budget.value, "spec.minAvailable"),
                    most = text_at(budget.value, "spec.maxUnavailable");
  if (least.empty() == most.empty()) complaints.add(budget, "must have one of minAvailable and maxUnavailable");
  const int64_t pods_least = pods.front()->replicas;
  if (most == "0" || most == "0%" || least == "100%" ||
      number_at(budget.value, "spec.minAvailable", -1) >= pods_least) {
    complaints.add(budget, "no pod may ever be evicted: nodes cannot be drained");
  }
}

void check_claims(const Objects& objects, const Pod& pod, Complaints& complaints) {
  for (const base::JsonValue* volume : list_at(*pod.spec, "volumes")) {
    const std::string name = text_at(*volume, "persistentVolumeClaim.claimName");
    if (name.empty()) continue;
    const Object* claim = objects.find("PersistentVolumeClaim", pod.owner->space, name);
    if (claim == nullptr) {
      complaints.add(*pod.owner, absl::StrCat("the claim ", name, " is not in these files"));
      continue;
    }
    const auto modes = list_at(claim->value, "spec.accessModes");
    const bool shared = std::any_of(modes.begin(), modes.end(), [](const base::JsonValue* mode) {
      return text_at(*mode, "") == "ReadWriteMany" || text_at(*mode, "") == "ReadOnlyMany";
    });
    if (shared || pod.owner->kind != "Deployment") continue;
    if (objects.replicas_max(pod) > 1) {
      complaints.add(*pod.owner, absl::StrCat("several pods on several nodes cannot share ", name,
                                              ": its accessModes need ReadWriteMany"));
    } else if (text_at(pod.owner->value, "spec.strategy.type") != "Recreate") {
      complaints.add(*pod.owner, absl::StrCat("a rollout waits for ever where the new pod is on another node: ", name,
                                              " is ReadWriteOnce; strategy Recreate, or ReadWriteMany"));
    }
  }
}

}  // namespace

void check_references(const Objects& objects, Complaints& complaints) {
  for (const Object* service : objects.of_kind("Service")) check_service(objects, *service, complaints);
  for (const Object* monitor : objects.of_kind("ServiceMonitor")) check_monitor(objects, *monitor, complaints);
  for (const Object* pool : objects.of_kind("InferencePool")) check_pool(objects, *pool, complaints);
  for (const Object* budget : objects.of_kind("PodDisruptionBudget")) check_budget(objects, *budget, complaints);
  for (const Pod& pod : objects.pods()) {
    check_selector(pod, complaints);
    check_claims(objects, pod, complaints);
  }
}

}  // namespace polymath::commands
