#include "backend/cpu/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "backend/cpu/kernels/kernels.h"
#include "base/clock.h"

namespace polymath::backend {
namespace {

constexpr size_t kBytes = size_t{512} << 20;  // more than any last cache of the machines known
// What a thread reads at a time. It is short enough to fall between disturbances, and long beside a barrier.
constexpr size_t kShareMax = size_t{8} << 20;
constexpr int64_t kRounds = 50'000;  // of arithmetic: about a millisecond

const cpu::Kernels& best_kernels() { return **cpu::choose_kernels(""); }

// All threads store results here, so that the compiler keeps the measured loops.
std::atomic<double> result_sink = 0;

}  // namespace

absl::StatusOr<LimitMeter> LimitMeter::make() {
  LimitMeter meter;
  ASSIGN_OR_RETURN(meter.memory_, Buffer::host(kBytes));
  std::memset(meter.memory_.data(), 1, kBytes);  // unwritten pages all map to one zero page
  return meter;
}

double LimitMeter::read_gbs(base::ThreadPool& pool, int runs) {
  const cpu::Kernels& kernels = best_kernels();
  const auto threads = static_cast<size_t>(pool.size());
  const size_t share = std::min(kShareMax, kBytes / threads / 512 * 512), window = share * threads;
  double best = 0;
  for (int i = 0; i < runs; ++i) {
    at_ = at_ + 2 * window <= kBytes ? at_ + window : 0;
    const auto* begin = static_cast<const std::byte*>(memory_.data()) + at_;
    const double start = base::steady_seconds();
    pool.run([&](int rank) {
      const double result = kernels.read(begin + static_cast<size_t>(rank) * share, share);
      result_sink.store(result, std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(window) / (base::steady_seconds() - start));
  }
  return best * 1e-9;
}

double LimitMeter::gflops(base::ThreadPool& pool, DType dtype, int runs) {
  const cpu::Kernels& kernels = best_kernels();
  double best = 0;
  for (int i = 0; i < runs; ++i) {
    double flop = 0;
    const double start = base::steady_seconds();
    pool.run([&](int rank) {
      const double done = kernels.multiply(dtype, kRounds);
      if (rank == 0) flop = done;
    });
    best = std::max(best, flop * pool.size() / (base::steady_seconds() - start));
  }
  return best * 1e-9;
}

absl::StatusOr<MachineLimits> measure_machine_limits(base::ThreadPool& pool) {
  ASSIGN_OR_RETURN(LimitMeter meter, LimitMeter::make());
  return MachineLimits{meter.read_gbs(pool, 400), meter.gflops(pool, DType::kBf16, 100),
                       meter.gflops(pool, DType::kF32, 100)};
}

}  // namespace polymath::backend
