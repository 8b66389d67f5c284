#include "base/process/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>

namespace polymath::base {
namespace {

double value_of(MetricsRegistry& registry, const std::string& name) {
  const std::string page = registry.render();
  const size_t at = page.find("\n" + name + " ");
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? -1 : std::atof(page.c_str() + at + name.size() + 2);
}

TEST(ProcessMetrics, AreThoseOfThisProcess) {
  MetricsRegistry registry;
  export_process(registry);
  const double resident = value_of(registry, "process_resident_memory_bytes");
  EXPECT_GT(resident, 1 << 20);
  EXPECT_GT(value_of(registry, "process_virtual_memory_bytes"), resident);
  const auto now = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(value_of(registry, "process_start_time_seconds"), now, 600);
  EXPECT_GE(value_of(registry, "process_max_fds"), value_of(registry, "process_open_fds"));
}

TEST(ProcessMetrics, TimeAndDescriptorsGrow) {
  MetricsRegistry registry;
  export_process(registry);
  const double cpu = value_of(registry, "process_cpu_seconds_total");
  const double files = value_of(registry, "process_open_fds");
  const int more[] = {open("/dev/null", O_RDONLY), open("/dev/null", O_RDONLY), open("/dev/null", O_RDONLY)};
  const std::clock_t begin = std::clock();
  while (std::clock() - begin < CLOCKS_PER_SEC / 20) continue;
  EXPECT_GT(value_of(registry, "process_cpu_seconds_total"), cpu);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_EQ(value_of(registry, "process_open_fds"), files + 3);
  for (const int file : more) close(file);
}

}  // namespace
}  // namespace polymath::base
