#pragma once

// The rank of a node other than 0. It loads its part and computes the steps that node 0 sends.
//
// Thread safety: none; one call a process.

#include <functional>

#include "model/loading/load.h"

namespace polymath::model {

// What load_model() takes; options.nodes is this node's.
struct FollowerModel {
  const ModelConfig& config;
  weights::Checkpoint& checkpoint;
  backend::Backend& backend;
  const LoadOptions& options;
};

// Returns once node 0 ends the group. `ready`: once, when the rank is loaded. Errors as load_model().
// kUnavailable: a node is gone, or the group failed. kInvalidArgument: a step of node 0 does not fit the model.
absl::Status follow_node(const FollowerModel& model, const backend::KvType& kv_type,
                         const std::function<void()>& ready);

}  // namespace polymath::model
