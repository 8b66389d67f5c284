#pragma once

// The flags of expert balancing: --enable-eplb and what belongs to it.

#include <string_view>

#include "backend/backend.h"
#include "commands/options.h"
#include "model/config.h"

namespace polymath::commands {

// --eplb-config, a JSON object with vLLM's keys. Those that are left out keep their values.
// kInvalidArgument: an unknown key or a number out of range. kUnimplemented: a value that is not built.
absl::Status read_balance_config(std::string_view value, model::BalanceOptions& options);

// kInvalidArgument: the flags contradict each other, or the model. kUnimplemented: the device cannot.
absl::Status check_balance(const RuntimeOptions& options, const model::ModelConfig& config,
                           const backend::Backend& backend);

}  // namespace polymath::commands
