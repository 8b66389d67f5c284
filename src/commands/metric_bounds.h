#pragma once

// --custom-histogram-buckets, in vLLM's JSON: bounds of the histograms of a family.
//
//   {"request_latency": [0.05, 0.1, 0.5, 1, 5], "time_to_first_token": [0.1, 0.2, 0.4]}

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

inline constexpr size_t kHistogramBoundsMax = 200;  // of a histogram; more: refused, since each is a series

// The bounds of one histogram.
struct MetricBounds {
  std::string metric;
  std::vector<double> bounds;  // positive, strictly ascending
};

// kInvalidArgument: another shape, an unknown family (the known ones are named), or bounds out of order.
absl::StatusOr<std::vector<MetricBounds>> parse_metric_bounds(std::string_view json);

}  // namespace polymath::commands
