#pragma once

// What NVIDIA GPUs report about themselves, by NVML: the driver's library, opened at run time.
//
// Nothing links to it, and it needs no header of NVIDIA's. A call may hang with the driver, so the callers have a
// thread of their own.
//
// Thread safety: one thread at a time.
// Source: NVML API reference (docs.nvidia.com/deploy/nvml-api), drivers 450 to 580.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

// In the units of NVML. Absent: the GPU or the driver does not report it.
struct GpuReading {
  unsigned index = 0;       // NVML's, by PCI address; CUDA's may differ
  std::string uuid;         // "GPU-..."
  std::string name;         // "NVIDIA H200"
  std::string pci_address;  // "00000000:1B:00.0"
  std::string node;         // of /dev: "nvidia0"

  using Value = std::optional<double>;
  Value utilization, memory_utilization;                          // percent of the driver's latest sample
  Value memory_used, memory_free, memory_reserved, memory_total;  // bytes; before driver 510 `used` has the reserved
  Value temperature, memory_temperature;                          // degrees Celsius
  Value power, power_limit;                                       // milliwatts
  Value energy;                                                   // millijoules since the driver was loaded
  Value sm_clock, memory_clock;                                   // MHz
  Value clock_limits;                                             // bits of nvmlClocksEventReasons
  Value pcie_replays;                                             // since the GPU was reset
  Value ecc_corrected, ecc_uncorrected;                           // errors since the driver was loaded
  Value rows_corrected, rows_uncorrected, rows_pending, rows_failed;  // remapped rows of memory; the last two: 0 or 1
  Value last_xid;                                                     // the latest error since open(); 0: none
};

class Nvml {
 public:
  // Of the GPUs at these PCI addresses; empty: of all that NVML shows to this process.
  // kFailedPrecondition: no library, no driver, or none of these GPUs.
  static absl::StatusOr<std::unique_ptr<Nvml>> open(const std::string& library,
                                                    const std::vector<std::string>& pci_addresses);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // All GPUs, in the order of their index. A call that fails leaves its values out.
  std::vector<GpuReading> read();

 private:
  struct Functions;
  struct Gpu;
  explicit Nvml(std::unique_ptr<Functions> functions);
  void find_gpus(const std::vector<std::string>& pci_addresses);
  void add_gpu(void* handle);
  void watch_errors();
  void read_errors();

  std::unique_ptr<Functions> nvml_;
  std::vector<Gpu> gpus_;
  void* events_ = nullptr;  // null: errors are not reported
};

}  // namespace polymath::commands
