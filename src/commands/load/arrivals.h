#pragma once

// When requests arrive. Open loop: at a rate, or as a trace file says, whatever the server does. In a closed loop there
// are no arrival times: a client sends its next request when it has its answer.

#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/load/draw.h"

namespace polymath::commands::load {

inline constexpr double kNoRate = std::numeric_limits<double>::infinity();

// Gaps are gamma-distributed with mean 1 / rate.
struct ArrivalOptions {
  double rate = kNoRate;  // requests a second; kNoRate: no gaps, as in a closed loop
  double shape = 1;       // 1: Poisson arrivals; less: bursts; infinite: constant gaps. Variation: 1 / sqrt(shape)
};

class Arrivals {
 public:
  Arrivals(const ArrivalOptions& options, uint64_t seed);

  // Seconds from the run's start. The first arrival comes at 0.
  double next();

 private:
  double gap();

  const ArrivalOptions options_;
  Draw draw_;
  double at_ = 0;
  bool first_ = true;
};

// A line of a trace: `seconds prompt_len output_len`.
struct TraceRow {
  double seconds = 0;  // from the run's start
  int prompt_len = 0;
  int output_len = 0;
};

inline constexpr size_t kTraceRowsMax = 1000000;         // more: kInvalidArgument
inline constexpr size_t kTraceBytesMax = 64u << 20;      // a larger file: kInvalidArgument
inline constexpr double kTraceSecondsMax = 30 * 86400.;  // a later arrival: kInvalidArgument

// Blank lines and those that begin with # are skipped. kInvalidArgument with the line's number: no three numbers,
// a length outside 1..kLengthMax, or a time before the last line's.
absl::StatusOr<std::vector<TraceRow>> parse_trace(std::string_view text);

}  // namespace polymath::commands::load
