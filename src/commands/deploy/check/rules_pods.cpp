// Pods of model servers: probes, grace, shared memory, GPUs against the command line, mounts.

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "commands/deploy/check/check.h"
#include "commands/flags/flags.h"

namespace polymath::commands {
namespace {

using Words = std::vector<std::string>;

double number_of(const std::string& text, double fallback) {
  double number = 0;
  return absl::SimpleAtod(text, &number) ? number : fallback;
}

std::string environment(const base::JsonValue& container, std::string_view name) {
  for (const base::JsonValue* row : list_at(container, "env")) {
    if (text_at(*row, "name") == name) return text_at(*row, "value");
  }
  return "";
}

bool is_ours(const Words& words) {
  return !words.empty() && (words[0] == "serve" || (words.size() > 1 && absl::EndsWith(words[0], "polymath")));
}

// Seconds of a preStop hook that sleeps.
double pre_stop_seconds(const base::JsonValue& container) {
  const base::JsonValue* hook = value_at(container, "lifecycle.preStop");
  if (hook == nullptr) return 0;
  if (value_at(*hook, "sleep.seconds") != nullptr) return static_cast<double>(number_at(*hook, "sleep.seconds", 0));
  const std::string command = base::to_text(*hook);
  const size_t at = command.find("sleep");
  const size_t digits = at == std::string::npos ? at : command.find_first_of("0123456789", at);
  return digits == std::string::npos
             ? 0
             : number_of(command.substr(digits, command.find_first_not_of("0123456789", digits) - digits), 0);
}

void check_grace(const Pod& pod, const base::JsonValue& container, const Words& words, Complaints& complaints) {
  const double drain = number_of(flag_value(words, {"--drain-delay"}), 0) +
                       number_of(flag_value(words, {"--shutdown-timeout"}), is_ours(words) ? 30 : 0) +
                       number_of(environment(container, "GRACEFUL_TERMINATION_TIMEOUT"), 0);
  const double needed = pre_stop_seconds(container) + drain;
  const double grace = static_cast<double>(number_at(*pod.spec, "terminationGracePeriodSeconds", 30));
  if (needed > 0 && grace <= needed) {
    complaints.add(*pod.owner, absl::StrCat("terminationGracePeriodSeconds ", grace, " must exceed preStop and drain, ",
                                            needed, " s: answers would be cut"));
  }
}

double probe_seconds(const base::JsonValue& probe) {
  return static_cast<double>(number_at(probe, "initialDelaySeconds", 0) +
                             number_at(probe, "periodSeconds", 10) * number_at(probe, "failureThreshold", 3));
}

void check_probes(const Pod& pod, const base::JsonValue& container, double load_seconds, Complaints& complaints) {
  for (const char* name : {"startupProbe", "readinessProbe", "livenessProbe"}) {
    const base::JsonValue* probe = value_at(container, name);
    if (probe == nullptr) continue;
    const std::string port = text_at(*probe, "httpGet.port");
    const auto ports = list_at(container, "ports");
    const bool found = port.empty() || std::any_of(ports.begin(), ports.end(), [&](const base::JsonValue* p) {
                         return text_at(*p, "name") == port || text_at(*p, "containerPort") == port;
                       });
    if (!found) complaints.add(*pod.owner, absl::StrCat(name, ": ", port, " is no port of the container"));
  }
  const base::JsonValue *startup = value_at(container, "startupProbe"), *live = value_at(container, "livenessProbe");
  const base::JsonValue* first = startup != nullptr ? startup : live;
  if (first == nullptr || load_seconds <= 0 || probe_seconds(*first) > load_seconds) return;
  complaints.add(*pod.owner,
                 absl::StrCat(startup != nullptr ? "startupProbe" : "livenessProbe", ": kills the pod after ",
                              probe_seconds(*first), " s, but it loads for ", load_seconds, " s"));
}

void check_resources(const Pod& pod, const base::JsonValue& container, Complaints& complaints) {
  const Labels requests = labels_at(container, "resources.requests"), limits = labels_at(container, "resources.limits");
  for (const auto& [name, limit] : limits) {
    const auto request = requests.find(name);
    if (request != requests.end() && quantity(request->second) > quantity(limit)) {
      complaints.add(*pod.owner, absl::StrCat("resources: ", name, " has a request above its limit"));
    }
    const bool is_device = name.find('/') != std::string::npos;
    if (is_device && request != requests.end() && quantity(request->second) != quantity(limit)) {
      complaints.add(*pod.owner, absl::StrCat("resources: ", name, " must have equal requests and limits"));
    }
  }
  for (const auto& [name, request] : requests) {
    if (name.find('/') != std::string::npos && !limits.contains(name)) {
      complaints.add(*pod.owner, absl::StrCat("resources: ", name, " needs a limit"));
    }
  }
}

// GPUs of the container against the ranks of its command line.
void check_gpus(const Pod& pod, const base::JsonValue& container, const Words& words, Complaints& complaints) {
  const Labels limits = labels_at(container, "resources.limits");
  const auto at = limits.find("nvidia.com/gpu");
  double ranks = number_of(flag_value(words, {"--tensor-parallel-size", "-tp", "--num-shard"}), 1) *
                 number_of(flag_value(words, {"--data-parallel-size", "-dp"}), 1) *
                 number_of(flag_value(words, {"--pipeline-parallel-size", "-pp"}), 1);
  ranks *= number_of(environment(container, "NUM_SHARD"), 1);
  if (at == limits.end() && ranks > 1) {
    complaints.add(*pod.owner, absl::StrCat("nvidia.com/gpu: none, but the command line asks for ", ranks));
  }
  if (at != limits.end() && quantity(at->second) != ranks) {
    complaints.add(*pod.owner,
                   absl::StrCat("nvidia.com/gpu: ", at->second, ", but the command line uses ", ranks, " of them"));
  }
}

void check_arguments(const Pod& pod, const Words& words, Complaints& complaints) {
  if (!is_ours(words)) return;
  const auto serve = std::find(words.begin(), words.end(), "serve");
  if (serve == words.end()) return;
  const auto options = parse_flags(kServe, Words(serve + 1, words.end()));
  if (!options.ok()) complaints.add(*pod.owner, absl::StrCat("args: ", options.status().message()));
}

void check_volumes(const Pod& pod, Complaints& complaints) {
  std::set<std::string> volumes;
  double memory = 0;
  for (const base::JsonValue* volume : list_at(*pod.spec, "volumes")) {
    const std::string name = text_at(*volume, "name");
    if (!volumes.insert(name).second) complaints.add(*pod.owner, absl::StrCat("two volumes are called ", name));
    if (text_at(*volume, "emptyDir.medium") != "Memory") continue;
    const std::string size = text_at(*volume, "emptyDir.sizeLimit");
    if (size.empty()) complaints.add(*pod.owner, absl::StrCat("volume ", name, ": memory without sizeLimit"));
    memory += std::max(0.0, quantity(size));
  }
  for (const base::JsonValue* container : list_at(*pod.spec, "containers")) {
    std::set<std::string> paths;
    for (const base::JsonValue* mount : list_at(*container, "volumeMounts")) {
      const std::string name = text_at(*mount, "name");
      if (!volumes.contains(name)) complaints.add(*pod.owner, absl::StrCat("volumeMounts: no volume is called ", name));
      if (!paths.insert(text_at(*mount, "mountPath")).second) complaints.add(*pod.owner, "volumeMounts: a path twice");
    }
    const std::string limit = text_at(*container, "resources.limits.memory");
    if (!limit.empty() && memory >= quantity(limit)) {
      complaints.add(*pod.owner, "/dev/shm counts to the memory limit, and takes all of it");
    }
  }
}

void check_policy(const Pod& pod, Complaints& complaints) {
  const std::string policy = text_at(*pod.spec, "restartPolicy");
  if (pod.owner->kind == "Job" && policy != "Never" && policy != "OnFailure") {
    complaints.add(*pod.owner, "restartPolicy: of a Job must be Never or OnFailure");
  }
  if (pod.owner->kind == "Deployment" && !policy.empty() && policy != "Always") {
    complaints.add(*pod.owner, "restartPolicy: of a Deployment must be Always");
  }
}

}  // namespace

void check_pods(const Objects& objects, const CheckSettings& settings, Complaints& complaints) {
  for (const Pod& pod : objects.pods()) {
    check_policy(pod, complaints);
    check_volumes(pod, complaints);
    for (const base::JsonValue* container : list_at(*pod.spec, "containers")) {
      const Words words = words_of(*container);
      check_grace(pod, *container, words, complaints);
      check_probes(pod, *container, settings.load_seconds, complaints);
      check_resources(pod, *container, complaints);
      check_gpus(pod, *container, words, complaints);
      check_arguments(pod, words, complaints);
      if (text_at(*container, "securityContext.privileged") == "true") {
        complaints.add(*pod.owner, "securityContext: a model server needs no privileges");
      }
    }
  }
}

}  // namespace polymath::commands
