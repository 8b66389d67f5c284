#include "commands/devices/gpu_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/clock.h"
#include "commands/devices/fake_nvml_test.h"

namespace polymath::commands {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kPower = "polymath:gpu_power_watts{gpu=\"1\"";

GpuMetricsOptions fast(const std::string& library) {
  GpuMetricsOptions options;
  options.library = library;
  options.interval_seconds = 0.01;
  options.stale_seconds = 0.3;
  return options;
}

// Within 10 s.
bool becomes(const std::function<bool()>& true_now) {
  const double end = base::steady_seconds() + 10;
  while (!true_now()) {
    if (base::steady_seconds() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool shows(base::MetricsRegistry& registry, const char* text) {
  return registry.render().find(text) != std::string::npos;
}

TEST(GpuMetrics, PagesHaveTheLatestReading) {
  FakeNvml fake;
  base::MetricsRegistry registry;
  registry.gauge("a", "A.", {}).set(1);
  {
    const GpuMetrics gpus(fast(fake.path()), registry);
    ASSERT_TRUE(becomes([&] { return shows(registry, kPower); }));
    EXPECT_THAT(registry.render(), testing::StartsWith("# HELP a A.\n# TYPE a gauge\na 1\n# HELP polymath:gpu_"));
    EXPECT_THAT(registry.render(), Not(HasSubstr("DCGM")));
    fake.make_error(31);
    EXPECT_TRUE(becomes([&] { return shows(registry, "name=\"NVIDIA Fake\"} 31\n"); }));
  }
  EXPECT_EQ(registry.render(), "# HELP a A.\n# TYPE a gauge\na 1\n");
}

TEST(GpuMetrics, SomeGpusAndDcgm) {
  const FakeNvml fake;
  GpuMetricsOptions options = fast(fake.path());
  options.pci_addresses = {"0000:02:00.0"};
  options.dcgm = true;
  base::MetricsRegistry registry;
  const GpuMetrics gpus(options, registry);
  ASSERT_TRUE(becomes([&] { return shows(registry, "DCGM_FI_DEV_FB_USED{gpu=\"1\""); }));
  EXPECT_THAT(registry.render(), Not(HasSubstr("gpu=\"0\"")));
}

TEST(GpuMetrics, NoLibraryNoMetrics) {
  base::MetricsRegistry registry;
  const double begin = base::steady_seconds();
  { const GpuMetrics gpus(fast("libnvidia-ml-that-is-not-here.so.1"), registry); }
  EXPECT_LT(base::steady_seconds() - begin, 0.9);
  EXPECT_EQ(registry.render(), "");
}

TEST(GpuMetrics, ADriverThatHangsHoldsUpNothing) {
  FakeNvml fake;
  base::MetricsRegistry registry;
  {
    const GpuMetrics gpus(fast(fake.path()), registry);
    ASSERT_TRUE(becomes([&] { return shows(registry, kPower); }));
    fake.set("nvmlDeviceGetPowerUsage", FakeNvml::kHang);
    EXPECT_TRUE(becomes([&] { return registry.render().empty(); }));
    fake.set("nvmlDeviceGetPowerUsage", 0);
    EXPECT_TRUE(becomes([&] { return shows(registry, kPower); }));
    fake.set("nvmlDeviceGetPowerUsage", FakeNvml::kHang);
    const double begin = base::steady_seconds();
    EXPECT_TRUE(becomes([&] { return registry.render().empty(); }));
    EXPECT_LT(base::steady_seconds() - begin, 5);
  }  // and ends though it hangs
  fake.set("nvmlDeviceGetPowerUsage", 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the thread that stayed behind ends
}

}  // namespace
}  // namespace polymath::commands
