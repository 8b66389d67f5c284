#include "commands/devices/nvml.h"

#include <gtest/gtest.h>

#include "commands/devices/fake_nvml_test.h"

namespace polymath::commands {
namespace {

constexpr int kNoPermission = 4, kNotSupported = 3, kLost = 15;
constexpr double kGib = 1 << 30;

std::unique_ptr<Nvml> open(const FakeNvml& fake, const std::vector<std::string>& addresses = {}) {
  auto nvml = Nvml::open(fake.path(), addresses);
  EXPECT_TRUE(nvml.ok()) << nvml.status();
  return std::move(*nvml);
}

TEST(Nvml, NamesOfAllGpus) {
  const FakeNvml fake;
  const std::vector<GpuReading> gpus = open(fake)->read();
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0].index, 0u);
  EXPECT_EQ(gpus[1].index, 1u);
  EXPECT_EQ(gpus[1].uuid, "GPU-00000001");
  EXPECT_EQ(gpus[1].name, "NVIDIA Fake");
  EXPECT_EQ(gpus[1].pci_address, "00000000:02:00.0");
  EXPECT_EQ(gpus[1].node, "nvidia5");
}

TEST(Nvml, GpusByAddress) {
  const FakeNvml fake;
  const std::vector<GpuReading> second = open(fake, {"0000:02:00.0"})->read();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].uuid, "GPU-00000001");
  const std::vector<GpuReading> both = open(fake, {"0000:02:00.0", "0000:09:00.0", "0000:01:00.0"})->read();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].uuid, "GPU-00000000");
  EXPECT_EQ(Nvml::open(fake.path(), {"0000:09:00.0"}).status().code(), absl::StatusCode::kFailedPrecondition);
}

// What drivers of both ages report.
void expect_common(const GpuReading& gpu) {
  EXPECT_EQ(gpu.utilization, 57);
  EXPECT_EQ(gpu.memory_utilization, 29);
  EXPECT_EQ(gpu.memory_total, 100 * kGib);
  EXPECT_EQ(gpu.memory_free, 39 * kGib);
  EXPECT_EQ(gpu.temperature, 48);
  EXPECT_EQ(gpu.power, 512345);
  EXPECT_EQ(gpu.power_limit, 700000);
  EXPECT_EQ(gpu.sm_clock, 1980);
  EXPECT_EQ(gpu.memory_clock, 3201);
  EXPECT_EQ(gpu.clock_limits, 0x44);
  EXPECT_EQ(gpu.pcie_replays, 3);
  EXPECT_EQ(gpu.ecc_corrected, 5);
  EXPECT_EQ(gpu.ecc_uncorrected, 1);
  EXPECT_EQ(gpu.rows_corrected, 2);
  EXPECT_EQ(gpu.rows_uncorrected, 4);
  EXPECT_EQ(gpu.rows_pending, 1);
  EXPECT_EQ(gpu.rows_failed, 0);
}

TEST(Nvml, ValuesOfANewDriver) {
  const FakeNvml fake;
  const GpuReading gpu = open(fake)->read().front();
  expect_common(gpu);
  EXPECT_EQ(gpu.memory_used, 60 * kGib);
  EXPECT_EQ(gpu.memory_reserved, kGib);
  EXPECT_EQ(gpu.memory_temperature, 61);
  EXPECT_EQ(gpu.energy, 123456789500);
  EXPECT_EQ(gpu.last_xid, 0);
}

TEST(Nvml, AnOldDriverLacksFunctions) {
  const FakeNvml fake(FAKE_NVML_OLD);
  const GpuReading gpu = open(fake)->read().front();
  expect_common(gpu);
  EXPECT_EQ(gpu.memory_used, 61 * kGib);
  for (const auto value : {gpu.memory_reserved, gpu.memory_temperature, gpu.energy, gpu.last_xid}) {
    EXPECT_FALSE(value.has_value());
  }
}

TEST(Nvml, AFailingFunctionLeavesOutItsValuesAlone) {
  using R = GpuReading;
  const struct {
    const char* function;
    std::vector<R::Value R::*> values;
  } rows[] = {
      {"nvmlDeviceGetUtilizationRates", {&R::utilization, &R::memory_utilization}},
      {"nvmlDeviceGetMemoryInfo_v2", {&R::memory_reserved}},  // the older function has the rest
      {"nvmlDeviceGetTemperatureV", {&R::temperature}},
      {"nvmlDeviceGetFieldValues", {&R::memory_temperature}},
      {"nvmlDeviceGetPowerUsage", {&R::power}},
      {"nvmlDeviceGetEnforcedPowerLimit", {&R::power_limit}},
      {"nvmlDeviceGetTotalEnergyConsumption", {&R::energy}},
      {"nvmlDeviceGetClockInfo", {&R::sm_clock, &R::memory_clock}},
      {"nvmlDeviceGetCurrentClocksEventReasons", {&R::clock_limits}},
      {"nvmlDeviceGetPcieReplayCounter", {&R::pcie_replays}},
      {"nvmlDeviceGetTotalEccErrors", {&R::ecc_corrected, &R::ecc_uncorrected}},
      {"nvmlDeviceGetRemappedRows", {&R::rows_corrected, &R::rows_uncorrected, &R::rows_pending, &R::rows_failed}},
      {"nvmlDeviceRegisterEvents", {&R::last_xid}},
      {"nvmlEventSetCreate", {&R::last_xid}},
  };
  const std::vector<R::Value R::*> all = {&R::utilization,
                                          &R::memory_utilization,
                                          &R::memory_used,
                                          &R::memory_free,
                                          &R::memory_reserved,
                                          &R::memory_total,
                                          &R::temperature,
                                          &R::memory_temperature,
                                          &R::power,
                                          &R::power_limit,
                                          &R::energy,
                                          &R::sm_clock,
                                          &R::memory_clock,
                                          &R::clock_limits,
                                          &R::pcie_replays,
                                          &R::ecc_corrected,
                                          &R::ecc_uncorrected,
                                          &R::rows_corrected,
                                          &R::rows_uncorrected,
                                          &R::rows_pending,
                                          &R::rows_failed,
                                          &R::last_xid};
  for (const auto& row : rows) {
    FakeNvml fake;
    fake.set(row.function, kNotSupported);
    const R gpu = open(fake)->read().back();
    for (const auto value : all) {
      const bool left_out = std::find(row.values.begin(), row.values.end(), value) != row.values.end();
      EXPECT_EQ((gpu.*value).has_value(), !left_out) << row.function << ", value " << &value - all.data();
    }
  }
}

TEST(Nvml, AGpuThatIsLostLaterHasNoValues) {
  FakeNvml fake;
  const auto nvml = open(fake);
  EXPECT_TRUE(nvml->read().front().power.has_value());
  fake.set("nvmlDeviceGetPowerUsage", kLost);
  EXPECT_FALSE(nvml->read().front().power.has_value());
  fake.set("nvmlDeviceGetPowerUsage", 0);
  EXPECT_TRUE(nvml->read().front().power.has_value());
}

TEST(Nvml, TheLatestErrorIsOfItsGpu) {
  FakeNvml fake;
  const auto nvml = open(fake);
  fake.make_error(79);
  for (int reading = 0; reading < 2; ++reading) {
    const std::vector<GpuReading> gpus = nvml->read();
    EXPECT_EQ(gpus[0].last_xid, 0);
    EXPECT_EQ(gpus[1].last_xid, 79);
  }
}

TEST(Nvml, WithoutALibraryOrADriver) {
  EXPECT_EQ(Nvml::open("libnvidia-ml-that-is-not-here.so.1", {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  for (const char* function : {"nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"}) {
    FakeNvml fake;
    fake.set(function, kNoPermission);
    EXPECT_EQ(Nvml::open(fake.path(), {}).status().code(), absl::StatusCode::kFailedPrecondition) << function;
  }
  EXPECT_EQ(Nvml::open("libc.so.6", {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace polymath::commands
