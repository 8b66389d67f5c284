#include "commands/devices/gpu_metrics.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/process/thread_start.h"
#include "commands/devices/gpu_page.h"
#include "commands/devices/nvml.h"

namespace polymath::commands {
namespace {

constexpr double kEndSeconds = 1;

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

struct GpuMetrics::State {
  const GpuMetricsOptions options;
  std::mutex mutex;
  std::condition_variable changed;
  // Under `mutex`:
  std::string page;
  double read_at = 0;
  bool stop = false, ended = false, hangs = false;

  explicit State(GpuMetricsOptions with) : options(std::move(with)) {}

  void work() {
    read_until_stopped();
    const std::lock_guard lock(mutex);
    ended = true;
    page.clear();
    changed.notify_all();
  }

  void read_until_stopped() {
    const auto nvml = Nvml::open(options.library, options.pci_addresses);
    if (!nvml.ok()) return base::log_debug("serve", "no metrics of GPUs: ", nvml.status().message());
    const GpuPageOptions of_page{options.dcgm, host_name()};
    const std::chrono::duration<double> interval(options.interval_seconds);
    for (std::unique_lock lock(mutex); !stop; changed.wait_for(lock, interval, [this] { return stop; })) {
      lock.unlock();
      std::string read = gpu_page((*nvml)->read(), of_page);
      lock.lock();
      page = std::move(read);
      read_at = base::steady_seconds();
      hangs = false;
    }
  }

  std::string latest() {
    const std::lock_guard lock(mutex);
    if (page.empty() || base::steady_seconds() - read_at <= options.stale_seconds) return page;
    if (!std::exchange(hangs, true)) {
      base::log_warning("serve", "NVML has not answered for ", options.stale_seconds,
                        " s: metrics of GPUs are left out until it does");
    }
    return "";
  }
};

GpuMetrics::GpuMetrics(GpuMetricsOptions options, base::MetricsRegistry& metrics)
    : state_(std::make_shared<State>(std::move(options))) {
  metrics.append([state = state_] { return state->latest(); });
  base::start_thread("nvml", [state = state_] { state->work(); }).detach();
}

GpuMetrics::~GpuMetrics() {
  std::unique_lock lock(state_->mutex);
  state_->stop = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, std::chrono::duration<double>(kEndSeconds), [this] { return state_->ended; });
}

}  // namespace polymath::commands
