#pragma once

// The prices that a plan reads.

#include "base/status.h"
#include "commands/plan/options.h"
#include "plan/hardware.h"

namespace polymath::commands {

// --prices over the built-in list. Errors begin with the file's name.
absl::StatusOr<plan::PriceList> prices_of(const PlanOptions& options);

}  // namespace polymath::commands
