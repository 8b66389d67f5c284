#pragma once

// A runtime with its tokenizer, chat template and sampling defaults, as the APIs need them.

#include <memory>
#include <vector>

#include "api/served_model.h"
#include "base/metrics.h"
#include "base/status.h"
#include "commands/options.h"
#include "commands/runtime.h"
#include "engine/replicas/replica_set.h"

namespace polymath::commands {

struct Served {
  std::unique_ptr<Runtime> runtime;              // of the first replica
  std::vector<std::unique_ptr<Runtime>> others;  // under --data-parallel-size
  api::ServedModel model;
  std::unique_ptr<engine::ReplicaSet> replicas;  // null: there is one

  // Where requests enter. REQUIRES: the weights are loaded.
  engine::Intake& intake() const;
  std::vector<engine::Engine*> engines() const;
  std::vector<const model::Transformer*> models() const;  // of the replicas
};

// All but the weights: config, memory plan, tokenizer, template, sampling defaults. Their errors come at once.
// kFailedPrecondition: the model has no tokenizer, and --skip-tokenizer-init is off. kInvalidArgument: a default of
// generation_config.json or the default template would make every request fail.
absl::StatusOr<Served> prepare_served(const Options& options);
// And the weights.
absl::StatusOr<Served> build_served(const Options& options, base::MetricsRegistry& metrics);

}  // namespace polymath::commands
