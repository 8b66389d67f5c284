#pragma once

// A run as one SVG file: the distributions of TTFT and of inter-token latency, and tokens a second over time.
// Nothing is fetched. Its colours follow the reader's light or dark scheme.

#include <string>
#include <string_view>

#include "commands/load/measures.h"

namespace polymath::commands::load {

std::string plot_svg(std::string_view title, const Measures& measures, const RunResult& run);

}  // namespace polymath::commands::load
