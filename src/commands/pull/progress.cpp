#include "commands/pull/progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/log.h"

namespace polymath::commands {
namespace {

constexpr auto kBarPeriod = std::chrono::milliseconds(200), kLinePeriod = std::chrono::milliseconds(5000);
constexpr int kWidth = 30;  // characters of the bar

}  // namespace

std::string bytes_text(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? absl::StrCat(bytes, " B") : absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

PullProgress::PullProgress(uint64_t bytes_total)
    : total_(bytes_total), bar_(isatty(STDERR_FILENO) == 1), begun_(base::steady_seconds()) {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, bar_ ? kBarPeriod : kLinePeriod, [this] { return ends_; })) show(false);
  });
}

PullProgress::~PullProgress() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  ended_.notify_all();
  thread_.join();
  if (bar_) show(true);
}

std::string PullProgress::line() const {
  const uint64_t there = std::min(static_cast<uint64_t>(std::max<int64_t>(there_, 0)), total_);
  const double rate = static_cast<double>(arrived_) / std::max(base::steady_seconds() - begun_, 1e-3);
  const double left = rate > 0 ? static_cast<double>(total_ - there) / rate : 0;
  const std::string time = rate > 0 && there < total_ ? absl::StrFormat(", %.0f s left", left) : "";
  return absl::StrCat(bytes_text(there), " of ", bytes_text(total_), ", ", bytes_text(static_cast<uint64_t>(rate)),
                      "/s", time);
}

void PullProgress::show(bool last) {
  const double share =
      total_ == 0 ? 1 : static_cast<double>(std::max<int64_t>(there_, 0)) / static_cast<double>(total_);
  const int percent = static_cast<int>(100 * std::min(share, 1.0));
  if (!bar_) {
    base::log_info("pull", percent, " %: ", line());
    return;
  }
  const std::string filled(static_cast<size_t>(percent * kWidth / 100), '#');
  const std::string rest(kWidth - filled.size(), '.');
  // Erases the rest of the line: the text before may have been longer.
  std::fprintf(stderr, "\rpulling [%s%s] %3d %% %s\033[K%s", filled.c_str(), rest.c_str(), percent, line().c_str(),
               last ? "\n" : "");
}

}  // namespace polymath::commands
