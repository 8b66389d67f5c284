#pragma once

// The machine's memory bandwidth and compute rate, which benchmarks print beside their figures.

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cpu/machine_limits.h"

namespace polymath::commands {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Sampled between the timed steps, because a shared machine drifts. The median is what a step can reach; the maximum
// lasts only for a moment.
class Limits {
 public:
  // `device`: limits of an unshared device, measured once; zeros: the host's are sampled.
  Limits(backend::LimitMeter meter, base::ThreadPool& pool, tensor::DType dtype, const backend::DeviceLimits& device)
      : meter_(std::move(meter)), pool_(pool), dtype_(dtype), device_(device) {}

  void restart() { reads_.clear(), gflops_.clear(); }
  void sample_read() {
    if (device_.read_gbs > 0) return;
    for (int i = 0; i < 4; ++i) reads_.push_back(meter_.read_gbs(pool_, 1));
  }
  void sample_gflops() {
    if (device_.gflops <= 0) gflops_.push_back(meter_.gflops(pool_, dtype_, 1));
  }
  double read_gbs() const { return device_.read_gbs > 0 ? device_.read_gbs : median(reads_); }
  double gflops() const { return device_.gflops > 0 ? device_.gflops : median(gflops_); }

 private:
  backend::LimitMeter meter_;
  base::ThreadPool& pool_;
  tensor::DType dtype_;
  const backend::DeviceLimits device_;
  std::vector<double> reads_, gflops_;
};

}  // namespace polymath::commands
