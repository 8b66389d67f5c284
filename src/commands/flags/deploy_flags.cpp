// Flags of deploy alone.

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"

namespace polymath::commands {
namespace {

constexpr int64_t kReplicasMax = 1024;       // more pods of one model: refused
constexpr size_t kNameBytesMax = 50;         // of an object; suffixes are added, and 63 is Kubernetes' limit
constexpr size_t kTextBytesMax = 512;        // of an image, a host, a path
constexpr double kLoadSecondsMax = 86400;    // longer loads: refused
constexpr int64_t kReadRateLeast = 1 << 20;  // bytes a second; slower volumes: refused

// Lower-case letters, digits and "-", as names and namespaces have them.
template <auto field>
absl::Status set_label(Options& o, std::string_view value) {
  bool good = !value.empty() && value.size() <= kNameBytesMax && absl::ascii_islower(value.front()) != 0;
  for (const char c : value) good &= absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  if (!good || value.back() == '-') {
    return absl::InvalidArgumentError("must be 1 to 50 lower-case letters, digits and -, and begin with a letter");
  }
  value_at(o, field) = std::string(value);
  return absl::OkStatus();
}

// Letters, digits and `more`; what stays one word in YAML, a shell and a URL.
absl::Status set_word(std::string& out, std::string_view value, std::string_view more) {
  bool good = !value.empty() && value.size() <= kTextBytesMax;
  for (const char c : value) good &= absl::ascii_isalnum(c) || more.find(c) != std::string_view::npos;
  if (!good) return absl::InvalidArgumentError(absl::StrCat("must be letters, digits and ", std::string(more)));
  out = std::string(value);
  return absl::OkStatus();
}

absl::Status set_prefix(Options& o, std::string_view value) {
  if (!value.starts_with('/') || (value.size() > 1 && value.ends_with('/'))) {
    return absl::InvalidArgumentError("must begin with /, and not end with one");
  }
  return set_word(o.deploy.prefix, value, "/-._");
}

constexpr Flag kFlags[] = {
    {"check", "", kList, kDeploy, "FILE", "none",
     "Check these manifests instead of rendering: fields, references between objects, rules of routes.",
     [](Options& o, std::string_view v) {
       o.deploy.check.emplace_back(v);
       return absl::OkStatus();
     }},
    {"metrics", "", FlagKind::kValue, kDeploy, "FILE", "none",
     "With --check: a server's /metrics; what rules and autoscalers name must be in it.",
     set_text<&DeployOptions::metrics>},
    {"name", "", FlagKind::kValue, kDeploy, "NAME", "from the model's", "Name of the objects.",
     set_label<&DeployOptions::name>},
    {"namespace", "", FlagKind::kValue, kDeploy, "NAME", "inference", "Namespace of the objects.",
     set_label<&DeployOptions::space>},
    {"image", "", FlagKind::kValue, kDeploy, "IMAGE", "polymath:0.1.0-cuda", "Container image.",
     [](Options& o, std::string_view v) { return set_word(o.deploy.image, v, "/-._:@"); }},
    {"repository", "", FlagKind::kValue, kDeploy, "ORG/NAME", "the model's",
     "What the cluster loads, where the plan is of a known model or of a directory with the same weights.",
     [](Options& o, std::string_view v) { return set_word(o.deploy.repository, v, "/-._"); }},
    {"replicas", "", FlagKind::kValue, kDeploy, "N", "1", "Pods.", set_int<&DeployOptions::replicas, 1, kReplicasMax>},
    {"replicas-max", "", FlagKind::kValue, kDeploy, "N", "none",
     "An autoscaler adds pods up to here, by requests that wait.",
     set_int<&DeployOptions::replicas_max, 1, kReplicasMax>},
    {"autoscaler", "", FlagKind::kValue, kDeploy, "NAME", "hpa",
     "hpa: needs prometheus-adapter; keda: asks Prometheus itself.",
     [](Options& o, std::string_view v) -> absl::Status {
       ASSIGN_OR_RETURN(o.deploy.scaler, parse_choice(v, {"hpa", "keda"}));
       return absl::OkStatus();
     }},
    {"load-seconds", "", FlagKind::kValue, kDeploy, "SECONDS", "by --read-rate",
     "Measured time from a pod's start until it is ready; the startup probe waits twice that.",
     [](Options& o, std::string_view v) -> absl::Status {
       ASSIGN_OR_RETURN(o.deploy.load_seconds, parse_number(v, 1, kLoadSecondsMax));
       return absl::OkStatus();
     }},
    {"read-rate", "", FlagKind::kValue, kDeploy, "BYTES", "250Mi",
     "Bytes a second that the model's volume gives; doctor measures them.",
     [](Options& o, std::string_view v) -> absl::Status {
       ASSIGN_OR_RETURN(const int64_t bytes, parse_bytes(v));
       if (bytes < kReadRateLeast) return absl::InvalidArgumentError("must be at least 1Mi");
       o.deploy.read_rate = static_cast<double>(bytes);
       return absl::OkStatus();
     }},
    {"storage-class", "", FlagKind::kValue, kDeploy, "NAME", "the cluster's default", "Of the model cache's volume.",
     [](Options& o, std::string_view v) { return set_word(o.deploy.storage_class, v, "-."); }},
    {"route-host", "", FlagKind::kValue, kDeploy, "HOST", "none", "Host of an HTTPRoute; several models may share it.",
     [](Options& o, std::string_view v) { return set_word(o.deploy.host, v, "-."); }},
    {"route-prefix", "", FlagKind::kValue, kDeploy, "PATH", "/v1/NAME",
     "What the route takes for this model; the server sees /v1 in its place.", set_prefix},
    {"gateway", "", FlagKind::kValue, kDeploy, "NAMESPACE/NAME", "kgateway-system/inference-gateway",
     "The Gateway that the HTTPRoute belongs to.",
     [](Options& o, std::string_view v) { return set_word(o.deploy.gateway, v, "-./"); }},
    {"inference-pool", "", kSwitch, kDeploy, "", "off",
     "An InferencePool behind the route; its endpoint picker is the Service NAME-epp.", set_bool<&DeployOptions::pool>},
    {"monitoring", "", kSwitch, kDeploy, "", "on", "A ServiceMonitor and a PrometheusRule.",
     set_bool<&DeployOptions::monitoring>},
};

}  // namespace

std::span<const Flag> deploy_flags() { return kFlags; }

}  // namespace polymath::commands
