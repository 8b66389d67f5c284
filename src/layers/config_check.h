#pragma once

// Bounds of a config's values, so that no later sum overflows.

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace polymath::layers {

// Far above any model, far below an overflow.
inline constexpr int64_t kWidthMax = 1 << 20;

// kInvalidArgument: `value` is outside [low, high].
absl::Status check_range(std::string_view what, int64_t value, int64_t low, int64_t high);

// kInvalidArgument: `ranks` does not divide `n`; `what` names the parts.
absl::Status check_split(std::string_view what, int64_t n, int ranks);

}  // namespace polymath::layers
