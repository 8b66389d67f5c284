#pragma once

// A Deployment of TGI or vLLM as one of ours.
//
// What it keeps: names, labels, replicas, nodes, tolerations, resources, volumes, other objects of the file. What it
// replaces: image, command line, environment, ports' probes, and what pods need to run without rights.

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

struct Migrated {
  std::string yaml;
  std::vector<std::string> changes;             // a sentence each
  std::vector<std::vector<std::string>> serve;  // the arguments of each container
};

// kInvalidArgument: no YAML, or no Deployment of TGI or vLLM in it. kUnimplemented: a flag or variable, named.
absl::StatusOr<Migrated> migrate_manifests(std::string_view text, const std::string& image);

}  // namespace polymath::commands
