#pragma once

// This machine's measured limits, for comparison in benchmarks.

#include "backend/backend.h"
#include "base/threads.h"

namespace polymath::backend {

struct MachineLimits {
  double read_gbs = 0;     // memory read by all threads of the pool, 10^9 bytes a second
  double bf16_gflops = 0;  // bf16 inputs and f32 sums, 10^9 operations a second
  double f32_gflops = 0;
};

// Measures with this CPU's best instruction set, in runs of about a millisecond. Keeps the 512 MiB that it reads.
class LimitMeter {
 public:
  // kResourceExhausted: no memory to read.
  static absl::StatusOr<LimitMeter> make();

  // Best of `runs`.
  double read_gbs(base::ThreadPool& pool, int runs);
  double gflops(base::ThreadPool& pool, DType dtype, int runs);

 private:
  Buffer memory_;
  size_t at_ = 0;
};

// About half a second.
absl::StatusOr<MachineLimits> measure_machine_limits(base::ThreadPool& pool);

}  // namespace polymath::backend
