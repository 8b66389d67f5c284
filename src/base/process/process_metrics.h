#pragma once

// process_*: what Prometheus clients export of their process, read from /proc when a page is rendered.
//
// Source: Prometheus, "Writing client libraries", process metrics.

#include "base/metrics.h"

namespace polymath::base {

// Adds the gauges and their update. Reading allocates nothing. The open descriptors are counted once a second at most:
// older kernels have to list them.
void export_process(MetricsRegistry& registry);

}  // namespace polymath::base
