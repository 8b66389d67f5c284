#pragma once

// A runtime with its tokenizer, chat template and sampling defaults, as the APIs need them.

#include <memory>

#include "api/served_model.h"
#include "base/metrics.h"
#include "base/status.h"
#include "commands/options.h"
#include "commands/runtime.h"

namespace polymath::commands {

struct Served {
  std::unique_ptr<Runtime> runtime;
  api::ServedModel model;
};

// All but the weights: config, memory plan, tokenizer, template, sampling defaults. Their errors come at once.
// kFailedPrecondition: the model has no tokenizer, and --skip-tokenizer-init is off. kInvalidArgument: a default of
// generation_config.json or the default template would make every request fail.
absl::StatusOr<Served> prepare_served(const Options& options);
// And the weights.
absl::StatusOr<Served> build_served(const Options& options, base::MetricsRegistry& metrics);

}  // namespace polymath::commands
