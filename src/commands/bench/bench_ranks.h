#pragma once

// polymath bench ranks MODEL --tensor-parallel-size N: what the ranks' sums and gathers take, by the rows of a step.
// From config.json alone: no weights are loaded.

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

// kInvalidArgument: one rank alone has nothing to move.
absl::Status bench_ranks(const Options& options);

}  // namespace polymath::commands
