#pragma once

// Random numbers from a seed, the same with every standard library: std's distributions are not.

#include <cstdint>
#include <random>

namespace polymath::commands::load {

class Draw {
 public:
  // Streams of one seed are independent of each other.
  Draw(uint64_t seed, uint64_t stream);

  double uniform();                // in [0, 1)
  int between(int low, int high);  // both included; REQUIRES: low <= high
  double exponential();            // mean 1
  double normal();                 // mean 0, variance 1
  double gamma(double shape);      // mean and variance `shape`; REQUIRES: shape > 0

 private:
  std::mt19937_64 engine_;
};

}  // namespace polymath::commands::load
