#pragma once

// How many prompt tokens join a step that also decodes. More of them make prompts faster, and every running answer
// slower.
//
//   the target   seconds between two tokens of an answer: given, or derived from what the decodes alone take
//   the rule     as many prompt tokens as the step's time model says fit into the target
//   the floor    a share of the step's time in any case, so that prompts never starve
//   the queue    a target that was derived grows, up to a bound, with the time that the waiting prompts will take
//
// Pure: decided from its arguments alone.

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "engine/step_times.h"

namespace polymath::engine {

// What a server is tuned for, as --performance-mode names it.
struct PerformanceMode {
  std::string_view name;
  double target_per_decode;  // the target, in times of a step that only decodes; 0: no target
  double target_min_s;       // but at least so long
  double growth_max;         // under a long queue at most so many times the target
};

// balanced (the default), interactivity (also named latency), throughput.
const PerformanceMode* find_performance_mode(std::string_view name);  // null: no mode has this name
absl::Status check_performance_mode(std::string_view name);           // kInvalidArgument; the message lists all

struct MixingOptions {
  int prompt_tokens_max = 0;              // whatever the step takes; 0: no limit; -1: by the target
  double target_itl_s = 0;                // > 0: instead of the mode's
  const PerformanceMode* mode = nullptr;  // null: the default
};

struct MixLoad {
  int n_decodes = 0;           // of the step
  int64_t waiting_tokens = 0;  // of prompts in the queue
};

// 1 to `most`, what the step has room for.
int mixed_prompt_tokens(const MixingOptions& options, const StepTimes& times, const MixLoad& load, int most);
// Seconds between two tokens that the options aim at under the load; 0: none.
double target_itl(const MixingOptions& options, const StepTimes& times, const MixLoad& load);

}  // namespace polymath::engine
