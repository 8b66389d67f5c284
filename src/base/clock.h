#pragma once

#include <chrono>

namespace polymath::base {

// Seconds on the steady clock, from an arbitrary origin.
inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace polymath::base
