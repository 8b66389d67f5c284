#pragma once

// GPUs' readings as a page of metrics, in Prometheus' text format.
//
// Names are ours (polymath:gpu_*, in base units), and DCGM exporter's beside them where that is asked for.
//
// Source: fields of NVIDIA DCGM (docs.nvidia.com/datacenter/dcgm), default-counters.csv of dcgm-exporter.

#include <span>
#include <string>

#include "commands/devices/nvml.h"

namespace polymath::commands {

// Only what is known has a line. `host` is DCGM's label Hostname.
struct GpuPageOptions {
  bool dcgm = false;
  std::string host;
};
std::string gpu_page(std::span<const GpuReading> gpus, const GpuPageOptions& options);

}  // namespace polymath::commands
