#pragma once

// The figures of a run as a table and as JSON. The JSON has the names of vLLM's own benchmark where it has them.

#include <string>

#include "base/json.h"
#include "commands/load/measures.h"
#include "commands/load/options.h"

namespace polymath::commands::load {

struct RunFacts {
  const LoadOptions& options;
  std::string url;    // what was asked
  std::string model;  // empty: none was named
  uint64_t seed = 0;
  int planned = 0;  // requests, if none fails in the midst of a conversation
};

std::string report_table(const RunFacts& facts, const Measures& measures);
base::JsonObject report_json(const RunFacts& facts, const Measures& measures, const RunResult& run);

}  // namespace polymath::commands::load
