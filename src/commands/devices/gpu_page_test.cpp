#include "commands/devices/gpu_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace polymath::commands {
namespace {

using testing::HasSubstr;
using testing::Not;

GpuReading gpu(unsigned index) {
  GpuReading r;
  r.index = index;
  r.uuid = absl::StrCat("GPU-", index);
  r.name = "NVIDIA H200";
  r.pci_address = "00000000:1B:00.0";
  r.node = "nvidia4";
  return r;
}

using R = GpuReading;
struct Case {
  R::Value R::*value;
  double of_nvml;
  const char *ours, *label, *our_number;  // label: behind the GPU's own
  const char *dcgm, *dcgm_number;
};
const Case kCases[] = {
    {&R::utilization, 57, "gpu_utilization", "", "0.57", "GPU_UTIL", "57"},
    {&R::memory_utilization, 29, "gpu_memory_utilization", "", "0.29", "MEM_COPY_UTIL", "29"},
    {&R::memory_used, 3 << 20, "gpu_memory_bytes", ",kind=\"used\"", "3145728", "FB_USED", "3"},
    {&R::memory_free, 5 << 20, "gpu_memory_bytes", ",kind=\"free\"", "5242880", "FB_FREE", "5"},
    {&R::memory_reserved, 7 << 20, "gpu_memory_bytes", ",kind=\"reserved\"", "7340032", "FB_RESERVED", "7"},
    {&R::memory_total, 15 << 20, "gpu_memory_total_bytes", "", "15728640", "FB_TOTAL", "15"},
    {&R::temperature, 48, "gpu_temperature_celsius", ",sensor=\"die\"", "48", "GPU_TEMP", "48"},
    {&R::memory_temperature, 61, "gpu_temperature_celsius", ",sensor=\"memory\"", "61", "MEMORY_TEMP", "61"},
    {&R::power, 512345, "gpu_power_watts", "", "512.345", "POWER_USAGE", "512.345"},
    {&R::power_limit, 700000, "gpu_power_limit_watts", "", "700", "ENFORCED_POWER_LIMIT", "700"},
    {&R::energy, 123456789500, "gpu_energy_joules_total", "", "123456789.5", "TOTAL_ENERGY_CONSUMPTION",
     "123456789500"},
    {&R::sm_clock, 1980, "gpu_clock_hertz", ",clock=\"sm\"", "1980000000", "SM_CLOCK", "1980"},
    {&R::memory_clock, 3201, "gpu_clock_hertz", ",clock=\"memory\"", "3201000000", "MEM_CLOCK", "3201"},
    {&R::clock_limits, 0x44, "gpu_clock_limited", ",reason=\"sw_power_cap\"", "1", "CLOCK_THROTTLE_REASONS", "68"},
    {&R::clock_limits, 0x44, "gpu_clock_limited", ",reason=\"hw_thermal\"", "1", "CLOCKS_EVENT_REASONS", "68"},
    {&R::clock_limits, 0x44, "gpu_clock_limited", ",reason=\"sw_thermal\"", "0", "CLOCKS_EVENT_REASONS", "68"},
    {&R::pcie_replays, 3, "gpu_pcie_replays_total", "", "3", "PCIE_REPLAY_COUNTER", "3"},
    {&R::ecc_corrected, 5, "gpu_ecc_errors_total", ",kind=\"corrected\"", "5", "ECC_SBE_VOL_TOTAL", "5"},
    {&R::ecc_uncorrected, 1, "gpu_ecc_errors_total", ",kind=\"uncorrected\"", "1", "ECC_DBE_VOL_TOTAL", "1"},
    {&R::rows_corrected, 2, "gpu_remapped_rows_total", ",kind=\"corrected\"", "2", "CORRECTABLE_REMAPPED_ROWS", "2"},
    {&R::rows_uncorrected, 4, "gpu_remapped_rows_total", ",kind=\"uncorrected\"", "4", "UNCORRECTABLE_REMAPPED_ROWS",
     "4"},
    {&R::rows_pending, 1, "gpu_row_remap", ",state=\"pending\"", "1", "ROW_REMAP_PENDING", "1"},
    {&R::rows_failed, 0, "gpu_row_remap", ",state=\"failed\"", "0", "ROW_REMAP_FAILURE", "0"},
    {&R::last_xid, 79, "gpu_last_xid", "", "79", "XID_ERRORS", "79"},
};

TEST(GpuPage, EachValueUnderBothNames) {
  for (const Case& c : kCases) {
    GpuReading of_one[] = {gpu(3)};
    of_one[0].*c.value = c.of_nvml;
    const std::string page = gpu_page(of_one, {.dcgm = true, .host = "node-1"});
    const std::string ours = absl::StrCat("polymath:", c.ours, "{gpu=\"3\",uuid=\"GPU-3\",name=\"NVIDIA H200\"",
                                          c.label, "} ", c.our_number, "\n");
    EXPECT_THAT(page, HasSubstr(ours));
    const std::string dcgm =
        absl::StrCat("DCGM_FI_DEV_", c.dcgm,
                     "{gpu=\"3\",UUID=\"GPU-3\",pci_bus_id=\"00000000:1B:00.0\",device=\"nvidia4\","
                     "modelName=\"NVIDIA H200\",Hostname=\"node-1\"} ",
                     c.dcgm_number, "\n");
    EXPECT_THAT(page, HasSubstr(dcgm));
    const bool counts = absl::EndsWith(c.ours, "_total");
    EXPECT_THAT(page, HasSubstr(absl::StrCat("# TYPE polymath:", c.ours, counts ? " counter" : " gauge")));
    EXPECT_THAT(page, HasSubstr(absl::StrCat("# TYPE DCGM_FI_DEV_", c.dcgm, counts ? " counter" : " gauge")));
  }
}

TEST(GpuPage, UnknownValuesHaveNoLine) {
  GpuReading gpus[] = {gpu(0), gpu(1)};
  EXPECT_EQ(gpu_page(gpus, {.dcgm = true, .host = "h"}), "");
  EXPECT_EQ(gpu_page({}, {.dcgm = true, .host = "h"}), "");
  gpus[1].power = 1000;
  EXPECT_EQ(gpu_page(gpus, {}),
            "# HELP polymath:gpu_power_watts Power that the GPU draws.\n# TYPE polymath:gpu_power_watts gauge\n"
            "polymath:gpu_power_watts{gpu=\"1\",uuid=\"GPU-1\",name=\"NVIDIA H200\"} 1\n");
}

TEST(GpuPage, AFamilyHasAllGpusUnderOneHead) {
  GpuReading gpus[] = {gpu(0), gpu(1)};
  for (GpuReading& r : gpus) r.memory_used = r.memory_free = 1 << 20;
  const std::string page = gpu_page(gpus, {});
  const size_t head = page.find("# TYPE");
  EXPECT_EQ(page.find("# TYPE", head + 1), std::string::npos);
  EXPECT_EQ(std::count(page.begin(), page.end(), '\n'), 6);
  EXPECT_THAT(page, Not(HasSubstr("DCGM")));
}

}  // namespace
}  // namespace polymath::commands
