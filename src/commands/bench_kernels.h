#pragma once

// polymath bench kernels MODEL: the ops of a model's layers one by one, on random numbers of its shapes, beside what
// the machine reads and multiplies. From config.json alone: no weights are loaded.

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

absl::Status bench_kernels(const Options& options);

}  // namespace polymath::commands
