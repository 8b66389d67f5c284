#pragma once

// polymath:gpu_* and DCGM_FI_*: a thread reads NVML once a second, and a page of metrics has the latest reading.
//
// A driver that hangs holds up neither pages nor the end of the server. Its GPUs are left out after stale_seconds. A
// machine without NVML has no such metrics.

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"

namespace polymath::commands {

struct GpuMetricsOptions {
  std::vector<std::string> pci_addresses;  // of the GPUs; empty: all that NVML shows
  bool dcgm = false;                       // also under DCGM's names
  std::string library = "libnvidia-ml.so.1";
  double interval_seconds = 1;
  double stale_seconds = 10;
};

class GpuMetrics {
 public:
  // The registry may outlive this: its pages then have no GPUs.
  GpuMetrics(GpuMetricsOptions options, base::MetricsRegistry& metrics);
  // Waits a second at most; a thread that hangs stays behind.
  ~GpuMetrics();
  GpuMetrics(const GpuMetrics&) = delete;
  GpuMetrics& operator=(const GpuMetrics&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;  // also the thread's
};

}  // namespace polymath::commands
