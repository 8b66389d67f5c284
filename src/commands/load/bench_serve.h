#pragma once

// polymath bench serve: loads a running server, of any make, and reports latencies and throughput.

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands::load {

// kInvalidArgument: flags that contradict each other. kUnavailable: no server, or no request completed.
absl::Status bench_serve(const Options& options);

}  // namespace polymath::commands::load
