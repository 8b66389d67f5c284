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

// Reads tokenizer and template before the weights, so that their errors come at once.
// kFailedPrecondition: the model has no tokenizer, and --skip-tokenizer-init is off.
absl::StatusOr<Served> build_served(const Options& options, base::MetricsRegistry& metrics);

}  // namespace polymath::commands
