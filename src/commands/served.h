#pragma once

// A house with tokenizer, chat template and sampling defaults of its model: what the APIs need beside the engine.

#include <memory>

#include "api/served_model.h"
#include "base/metrics.h"
#include "base/status.h"
#include "commands/house.h"
#include "commands/settings.h"

namespace polymath::commands {

struct Served {
  std::unique_ptr<House> house;
  api::ServedModel model;
};

// Tokenizer and template come before the weights, so that what is wrong with them is said at once.
// kFailedPrecondition: the model has no tokenizer and nobody said --skip-tokenizer-init.
absl::StatusOr<Served> build_served(const Settings& settings, base::MetricsRegistry& metrics);

}  // namespace polymath::commands
