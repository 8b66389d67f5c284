#pragma once

// A runtime with tokenizer, chat template and sampling defaults of its model: what the APIs need beside the engine.

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

// Tokenizer and template come before the weights, so that what is wrong with them is said at once.
// kFailedPrecondition: the model has no tokenizer and nobody said --skip-tokenizer-init.
absl::StatusOr<Served> build_served(const Options& options, base::MetricsRegistry& metrics);

}  // namespace polymath::commands
