#pragma once

// Serving over several nodes: a process a node, a rank each. Node 0 has the door; the others compute what it sends.

#include <string>

#include "base/status.h"
#include "commands/options.h"
#include "commands/process/supervisor.h"
#include "commands/runtime.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::commands {

// Before anything is read. kInvalidArgument or kUnimplemented: flags that do not go together.
absl::Status check_nodes(const Options& options);

// `settings`: everything that must be equal on all nodes, as text. kInvalidArgument: no secret, or a short one.
absl::StatusOr<parallel::NodeOptions> node_options(const NodeSettings& nodes, const std::string& settings);

// `serve` on a node other than 0: until node 0 ends the group. Returns the exit code.
absl::StatusOr<int> serve_node(const Options& options, Supervisor& supervisor);

}  // namespace polymath::commands
