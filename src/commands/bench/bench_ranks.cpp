#include "commands/bench/bench_ranks.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/communicators.h"
#include "base/clock.h"
#include "commands/runtime.h"

namespace polymath::commands {
namespace {

using tensor::DType;
using tensor::Tensor;

constexpr int kRows[] = {1, 8, 32, 128, 512, 2048, 8192};
constexpr int kWarmUps = 5, kRepeats = 200, kRepeatsLarge = 20;
constexpr int64_t kLargeFloats = int64_t{1} << 22;

using Operation = std::function<void(parallel::Communicator&)>;

// Seconds of one operation, of the slowest rank.
double seconds_of(backend::Backend& backend, parallel::Communicator& communicator, const Tensor& result,
                  const Operation& operation) {
  const Tensor first{result.dtype, {1}, result.data};
  float value = 0;
  for (int i = 0; i < kWarmUps; ++i) operation(communicator);
  backend.copy_out(&value, first);
  const int repeats = result.shape.elements() < kLargeFloats ? kRepeats : kRepeatsLarge;
  const double begin = base::steady_seconds();
  for (int i = 0; i < repeats; ++i) operation(communicator);
  backend.copy_out(&value, first);
  return (base::steady_seconds() - begin) / repeats;
}

struct Ranks {
  std::vector<backend::Backend*> backends;
  std::vector<std::unique_ptr<parallel::Communicator>> communicators;

  // `body` on every rank's thread; the longest time, or the first error.
  absl::StatusOr<double> slowest(const std::function<absl::StatusOr<double>(size_t rank)>& body) const {
    std::vector<absl::StatusOr<double>> seconds(backends.size(), 0.0);
    std::vector<std::thread> threads;
    for (size_t r = 0; r < backends.size(); ++r) {
      threads.emplace_back([&, r] {
        backends[r]->use_on_this_thread();
        seconds[r] = body(r);
      });
    }
    for (std::thread& t : threads) t.join();
    double most = 0;
    for (const auto& s : seconds) {
      RETURN_IF_ERROR(s.status());
      most = std::max(most, *s);
    }
    return most;
  }
};

absl::StatusOr<double> sum_seconds(const Ranks& ranks, int64_t rows, int64_t cols) {
  return ranks.slowest([&](size_t r) -> absl::StatusOr<double> {
    backend::Backend& backend = *ranks.backends[r];
    ASSIGN_OR_RETURN(const auto memory, backend.allocate(static_cast<size_t>(rows * cols) * sizeof(float)));
    const Tensor x{DType::kF32, {rows, cols}, memory.data()};
    return seconds_of(backend, *ranks.communicators[r], x, [&](auto& c) { c.all_reduce_sum(x); });
  });
}

absl::StatusOr<double> gather_seconds(const Ranks& ranks, int64_t rows, int64_t cols) {
  return ranks.slowest([&](size_t r) -> absl::StatusOr<double> {
    backend::Backend& backend = *ranks.backends[r];
    const auto bytes = static_cast<size_t>(rows * cols) * sizeof(float), size = ranks.backends.size();
    ASSIGN_OR_RETURN(const auto part, backend.allocate(bytes));
    ASSIGN_OR_RETURN(const auto all, backend.allocate(size * bytes));
    const Tensor from{DType::kF32, {rows, cols}, part.data()};
    const Tensor to{DType::kF32, {rows, static_cast<int64_t>(size) * cols}, all.data()};
    return seconds_of(backend, *ranks.communicators[r], to, [&](auto& c) { c.all_gather_cols(from, to); });
  });
}

// Bytes that a rank sends to each of its peers.
void print(const char* what, int64_t rows, int64_t cols, double seconds) {
  const double bytes = static_cast<double>(rows * cols) * sizeof(float);
  std::printf("%-16s %6ld x %-7ld %9.1f us  %7.1f GB/s to each peer\n", what, static_cast<long>(rows),
              static_cast<long>(cols), seconds * 1e6, bytes / seconds / 1e9);
  std::fflush(stdout);
}

}  // namespace

absl::Status bench_ranks(const Options& options) {
  ASSIGN_OR_RETURN(const auto runtime, Runtime::look(options.model, options.runtime));
  Ranks ranks{runtime->ranks(), {}};
  ranks.backends.resize(static_cast<size_t>(options.runtime.tensor_parallel));  // of the first stage
  const auto size = static_cast<int64_t>(ranks.backends.size());
  if (size < 2) return absl::InvalidArgumentError("bench ranks: --tensor-parallel-size must be 2 or more");
  ASSIGN_OR_RETURN(ranks.communicators, backend::make_communicators(ranks.backends));
  const model::ModelConfig& config = runtime->config();
  for (const int rows : kRows) {
    ASSIGN_OR_RETURN(const double seconds, sum_seconds(ranks, rows, config.hidden));
    print("all_reduce_sum", rows, config.hidden, seconds);
  }
  for (const int rows : kRows) {
    const int64_t cols = config.vocab / size;
    if (rows * cols > kLargeFloats * 16) break;
    ASSIGN_OR_RETURN(const double seconds, gather_seconds(ranks, rows, cols));
    print("all_gather_cols", rows, cols, seconds);
  }
  return absl::OkStatus();
}

}  // namespace polymath::commands
