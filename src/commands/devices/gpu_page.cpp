#include "commands/devices/gpu_page.h"

#include <cstdint>
#include <optional>

#include "base/metrics.h"

namespace polymath::commands {
namespace {

// From NVML's unit.
struct Scale {
  double times = 1, over = 1;
};
constexpr Scale kAsIs{}, kPercent{1, 100}, kMilli{1, 1000}, kMega{1e6, 1}, kMebi{1, 1 << 20};

struct Row {
  GpuReading::Value GpuReading::*value;
  bool counts;  // a counter, else a gauge
  struct {
    const char *name, *help;  // null: none, as reasons have a series each
    Scale scale;
    const char *label = "", *label_value = "";
  } ours;
  struct {
    const char *name, *help;
    Scale scale = {};
  } dcgm;
};

constexpr const char* kMemoryHelp = "Memory of the GPU, by what it is: used, free, or reserved by the driver.";
constexpr const char* kTemperatureHelp = "Temperature of the GPU's die and of its memory, in degrees Celsius.";
constexpr const char* kClockHelp = "Clock of the GPU's multiprocessors and of its memory.";
constexpr const char* kEccHelp = "ECC errors since the driver was loaded.";
constexpr const char* kRowsHelp = "Rows of memory that were remapped, by the kind of their errors.";
constexpr const char* kRemapHelp = "1: a remapping of rows waits for a reset, or has failed.";
constexpr const char* kLimitsHelp = "Bits of what lowers the clocks.";

using R = GpuReading;
constexpr Row kRows[] = {
    {&R::utilization,
     false,
     {"polymath:gpu_utilization", "Share of time in which a kernel ran.", kPercent},
     {"DCGM_FI_DEV_GPU_UTIL", "Time in which a kernel ran, in percent."}},
    {&R::memory_utilization,
     false,
     {"polymath:gpu_memory_utilization", "Share of time in which memory was read or written.", kPercent},
     {"DCGM_FI_DEV_MEM_COPY_UTIL", "Time in which memory was read or written, in percent."}},
    {&R::memory_used,
     false,
     {"polymath:gpu_memory_bytes", kMemoryHelp, kAsIs, "kind", "used"},
     {"DCGM_FI_DEV_FB_USED", "Memory in use, in MiB.", kMebi}},
    {&R::memory_free,
     false,
     {"polymath:gpu_memory_bytes", kMemoryHelp, kAsIs, "kind", "free"},
     {"DCGM_FI_DEV_FB_FREE", "Free memory, in MiB.", kMebi}},
    {&R::memory_reserved,
     false,
     {"polymath:gpu_memory_bytes", kMemoryHelp, kAsIs, "kind", "reserved"},
     {"DCGM_FI_DEV_FB_RESERVED", "Memory that the driver reserves, in MiB.", kMebi}},
    {&R::memory_total,
     false,
     {"polymath:gpu_memory_total_bytes", "Memory of the GPU: used, free and reserved.", kAsIs},
     {"DCGM_FI_DEV_FB_TOTAL", "All memory, in MiB.", kMebi}},
    {&R::temperature,
     false,
     {"polymath:gpu_temperature_celsius", kTemperatureHelp, kAsIs, "sensor", "die"},
     {"DCGM_FI_DEV_GPU_TEMP", "Temperature of the die, in degrees Celsius."}},
    {&R::memory_temperature,
     false,
     {"polymath:gpu_temperature_celsius", kTemperatureHelp, kAsIs, "sensor", "memory"},
     {"DCGM_FI_DEV_MEMORY_TEMP", "Temperature of the memory, in degrees Celsius."}},
    {&R::power,
     false,
     {"polymath:gpu_power_watts", "Power that the GPU draws.", kMilli},
     {"DCGM_FI_DEV_POWER_USAGE", "Power, in watts.", kMilli}},
    {&R::power_limit,
     false,
     {"polymath:gpu_power_limit_watts", "Power above which the driver lowers the clocks.", kMilli},
     {"DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "Power above which the driver lowers the clocks, in watts.", kMilli}},
    {&R::energy,
     true,
     {"polymath:gpu_energy_joules_total", "Energy since the driver was loaded.", kMilli},
     {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Energy since the driver was loaded, in millijoules."}},
    {&R::sm_clock,
     false,
     {"polymath:gpu_clock_hertz", kClockHelp, kMega, "clock", "sm"},
     {"DCGM_FI_DEV_SM_CLOCK", "Clock of the multiprocessors, in MHz."}},
    {&R::memory_clock,
     false,
     {"polymath:gpu_clock_hertz", kClockHelp, kMega, "clock", "memory"},
     {"DCGM_FI_DEV_MEM_CLOCK", "Clock of the memory, in MHz."}},
    {&R::clock_limits, false, {}, {"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", kLimitsHelp}},
    {&R::clock_limits, false, {}, {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS", kLimitsHelp}},
    {&R::pcie_replays,
     true,
     {"polymath:gpu_pcie_replays_total", "Packets that PCI Express sent again.", kAsIs},
     {"DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "Packets that PCI Express sent again."}},
    {&R::ecc_corrected,
     true,
     {"polymath:gpu_ecc_errors_total", kEccHelp, kAsIs, "kind", "corrected"},
     {"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "Corrected ECC errors since the driver was loaded."}},
    {&R::ecc_uncorrected,
     true,
     {"polymath:gpu_ecc_errors_total", kEccHelp, kAsIs, "kind", "uncorrected"},
     {"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Uncorrected ECC errors since the driver was loaded."}},
    {&R::rows_corrected,
     true,
     {"polymath:gpu_remapped_rows_total", kRowsHelp, kAsIs, "kind", "corrected"},
     {"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "Rows remapped for corrected errors."}},
    {&R::rows_uncorrected,
     true,
     {"polymath:gpu_remapped_rows_total", kRowsHelp, kAsIs, "kind", "uncorrected"},
     {"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "Rows remapped for uncorrected errors."}},
    {&R::rows_pending,
     false,
     {"polymath:gpu_row_remap", kRemapHelp, kAsIs, "state", "pending"},
     {"DCGM_FI_DEV_ROW_REMAP_PENDING", "1: a remapping of rows waits for a reset."}},
    {&R::rows_failed,
     false,
     {"polymath:gpu_row_remap", kRemapHelp, kAsIs, "state", "failed"},
     {"DCGM_FI_DEV_ROW_REMAP_FAILURE", "1: a remapping of rows has failed."}},
    {&R::last_xid,
     false,
     {"polymath:gpu_last_xid", "Number of the GPU's latest XID error since the server's start; 0: none.", kAsIs},
     {"DCGM_FI_DEV_XID_ERRORS", "Number of the latest XID error; 0: none."}},
};

// Bits of nvmlClocksEventReasons, in nvidia-smi's words.
constexpr struct {
  uint64_t bit;
  const char* reason;
} kClockLimits[] = {
    {0x01, "idle"},       {0x02, "applications_clocks"}, {0x04, "sw_power_cap"}, {0x08, "hw_slowdown"},
    {0x10, "sync_boost"}, {0x20, "sw_thermal"},          {0x40, "hw_thermal"},   {0x80, "hw_power_brake"},
};

class Page {
 public:
  Page(std::span<const GpuReading> gpus, const GpuPageOptions& options) : gpus_(gpus), options_(options) {}

  std::string text() {
    for (const Row& row : kRows) {
      if (row.ours.name == nullptr) continue;
      for (const GpuReading& gpu : gpus_) {
        base::Labels labels = our_labels(gpu);
        if (*row.ours.label != '\0') labels.emplace_back(row.ours.label, row.ours.label_value);
        add(row, row.ours, gpu, std::move(labels));
      }
    }
    add_clock_limits();
    for (const Row& row : kRows) {
      if (!options_.dcgm) break;
      for (const GpuReading& gpu : gpus_) add(row, row.dcgm, gpu, dcgm_labels(gpu));
    }
    return registry_.render();
  }

 private:
  template <typename Metric>
  void add(const Row& row, const Metric& metric, const GpuReading& gpu, base::Labels labels) {
    const GpuReading::Value& value = gpu.*row.value;
    if (!value) return;
    const double scaled = *value * metric.scale.times / metric.scale.over;
    if (row.counts) {
      registry_.counter(metric.name, metric.help, std::move(labels)).add(scaled);
    } else {
      registry_.gauge(metric.name, metric.help, std::move(labels)).set(scaled);
    }
  }

  void add_clock_limits() {
    for (const GpuReading& gpu : gpus_) {
      if (!gpu.clock_limits) continue;
      const auto bits = static_cast<uint64_t>(*gpu.clock_limits);
      for (const auto& limit : kClockLimits) {
        base::Labels labels = our_labels(gpu);
        labels.emplace_back("reason", limit.reason);
        registry_.gauge("polymath:gpu_clock_limited", "1: this lowers the GPU's clocks.", std::move(labels))
            .set((bits & limit.bit) != 0 ? 1 : 0);
      }
    }
  }

  static base::Labels our_labels(const GpuReading& gpu) {
    return {{"gpu", std::to_string(gpu.index)}, {"uuid", gpu.uuid}, {"name", gpu.name}};
  }
  base::Labels dcgm_labels(const GpuReading& gpu) const {
    return {{"gpu", std::to_string(gpu.index)},
            {"UUID", gpu.uuid},
            {"pci_bus_id", gpu.pci_address},
            {"device", gpu.node},
            {"modelName", gpu.name},
            {"Hostname", options_.host}};
  }

  std::span<const GpuReading> gpus_;
  const GpuPageOptions& options_;
  base::MetricsRegistry registry_;
};

}  // namespace

std::string gpu_page(std::span<const GpuReading> gpus, const GpuPageOptions& options) {
  return Page(gpus, options).text();
}

}  // namespace polymath::commands
