#pragma once

// `deploy --check`: what is wrong with manifests, without a cluster. It checks fields, references between objects, the
// Gateway API's CEL rules, and what a server of models needs.

#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "commands/deploy/check/objects.h"

namespace polymath::commands {

struct CheckSettings {
  double load_seconds = 0;        // measured; 0: not compared
  std::set<std::string> metrics;  // names that exist; empty: not compared
};

struct CheckReport {
  size_t n_objects = 0, n_unknown = 0;  // unknown: of kinds that are not in the table; only references are checked
  std::vector<std::string> complaints;
};

struct ManifestFile {
  std::string name, text;
};

// kInvalidArgument: a text is no YAML.
absl::StatusOr<CheckReport> check_manifests(const std::vector<ManifestFile>& files, const CheckSettings& settings);

// The rules, by theme. Each adds its complaints.
void check_names(const Objects& objects, Complaints& complaints);
void check_references(const Objects& objects, Complaints& complaints);
void check_routes(const Objects& objects, Complaints& complaints);
void check_pods(const Objects& objects, const CheckSettings& settings, Complaints& complaints);
void check_scaling(const Objects& objects, Complaints& complaints);
void check_metric_names(const Objects& objects, const CheckSettings& settings, Complaints& complaints);

}  // namespace polymath::commands
