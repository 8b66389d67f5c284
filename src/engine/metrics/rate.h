#pragma once

// Events a second, over the last kSeconds.

#include <array>
#include <cmath>
#include <cstdint>

namespace polymath::engine {

class Rate {
 public:
  static constexpr int kSeconds = 8;

  void add(double now, double n) {
    advance(now);
    counts_[second_ % kSeconds] += n;
  }
  // The current second counts for its elapsed part.
  double per_second(double now) {
    advance(now);
    double sum = 0;
    for (const double count : counts_) sum += count;
    return sum / (kSeconds - 1 + now - std::floor(now));
  }

 private:
  void advance(double now) {
    const auto second = static_cast<int64_t>(now);
    for (int i = 0; i < kSeconds && second_ < second; ++i) counts_[++second_ % kSeconds] = 0;
    second_ = second;
  }
  std::array<double, kSeconds> counts_{};
  int64_t second_ = 0;
};

}  // namespace polymath::engine
