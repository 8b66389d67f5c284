#pragma once

// Tokenizer, chat template and sampling defaults of a house's model: what the APIs need beside the engine.

#include "api/served_model.h"
#include "base/status.h"
#include "commands/house.h"
#include "commands/settings.h"

namespace polymath::commands {

// kFailedPrecondition: the model has no tokenizer and nobody said --skip-tokenizer-init.
absl::StatusOr<api::ServedModel> make_served_model(const Settings& settings, const House& house);

}  // namespace polymath::commands
