#pragma once

// polymath bench kernels MODEL: the ops of a model's layers one by one on random values, beside the machine's limits.
// From config.json alone: no weights are loaded.

#include "base/status.h"
#include "commands/op_calls.h"
#include "commands/options.h"

namespace polymath::commands {

// A decode step of each --batch, then a prefill.
std::vector<StepShape> bench_steps(const BenchOptions& options);

absl::Status bench_kernels(const Options& options);

}  // namespace polymath::commands
