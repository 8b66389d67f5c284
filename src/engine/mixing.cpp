#include "engine/mixing.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace polymath::engine {
namespace {

constexpr double kPromptShareMin = 0.25;  // of the decodes' time goes to prompts in any case
constexpr double kPatienceSeconds = 0.5;  // a queue that takes longer raises the target

// The default first.
constexpr PerformanceMode kModes[] = {
    {"balanced", 4, 0.05, 3},
    {"interactivity", 1.5, 0.01, 1},
    {"latency", 1.5, 0.01, 1},
    {"throughput", 0, 0, 1},
};

}  // namespace

const PerformanceMode* find_performance_mode(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kModes), std::end(kModes),
                                         [name](const PerformanceMode& mode) { return mode.name == name; });
  return found == std::end(kModes) ? nullptr : found;
}

absl::Status check_performance_mode(std::string_view name) {
  if (find_performance_mode(name) != nullptr) return absl::OkStatus();
  std::string names;
  for (const PerformanceMode& mode : kModes) names.append(names.empty() ? "" : ", ").append(mode.name);
  return absl::InvalidArgumentError(absl::StrCat("`", std::string(name), "` is not one of ", names));
}

double target_itl(const MixingOptions& options, const StepTimes& times, const MixLoad& load) {
  if (options.target_itl_s > 0) return options.target_itl_s;
  const PerformanceMode& mode = options.mode == nullptr ? kModes[0] : *options.mode;
  if (mode.target_per_decode == 0) return 0;
  const double queue = times.prompts().at(static_cast<double>(load.waiting_tokens)) / kPatienceSeconds;
  return std::clamp(queue, 1.0, mode.growth_max) *
         std::max(mode.target_min_s, mode.target_per_decode * times.decodes().at(load.n_decodes));
}

int mixed_prompt_tokens(const MixingOptions& options, const StepTimes& times, const MixLoad& load, int most) {
  if (options.prompt_tokens_max > 0) return std::min(options.prompt_tokens_max, most);
  if (options.prompt_tokens_max == 0) return most;
  const double target = target_itl(options, times, load);
  if (target == 0 || !times.decodes().known()) return most;
  const double decodes = times.decodes().at(load.n_decodes);
  const double left = std::max(target - decodes, kPromptShareMin * decodes);
  return std::clamp(times.prompts().tokens_within(left, most), 1, most);
}

}  // namespace polymath::engine
