#pragma once

// polymath:kernel_info{op, variant} 1: every kernel variant that ran since the start.
//
// Thread safety: none; one thread updates it.

#include <set>
#include <string>

#include "backend/backend.h"
#include "base/metrics.h"

namespace polymath::commands {

class KernelMetrics {
 public:
  KernelMetrics(const backend::Backend& backend, base::MetricsRegistry& metrics)
      : backend_(backend), metrics_(metrics) {}
  // Adds what ran since the last call.
  void update();

 private:
  const backend::Backend& backend_;
  base::MetricsRegistry& metrics_;
  std::set<std::pair<std::string_view, std::string_view>> known_;
};

}  // namespace polymath::commands
