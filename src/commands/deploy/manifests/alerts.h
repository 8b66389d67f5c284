#pragma once

// Alerts over a server's metrics: the MoE serving guide's three, then ours. Those of GPUs need NVML in the pod.

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace polymath::commands {

struct Alert {
  std::string_view name;
  std::string_view expression;  // SELECTOR becomes the labels that Prometheus adds: {job="NAME"}
  std::string_view lasting;     // "5m"
  std::string_view severity;    // "warning", "critical"
  std::string_view summary;
  std::string_view help;  // what to do
};

std::span<const Alert> alerts();

// The rule of one server; `job` is its Service's name.
base::JsonObject alert_rule(const Alert& alert, const std::string& job);

}  // namespace polymath::commands
