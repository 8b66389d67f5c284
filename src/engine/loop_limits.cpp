#include "engine/loop_limits.h"

#include <algorithm>
#include <climits>

namespace polymath::engine {

SchedulerLimits scheduler_limits(const EngineOptions& options) {
  return {.block_size = options.block_size,
          .n_blocks = options.n_blocks,
          .sequences_max = options.sequences_max,
          .step_tokens_max = options.step_tokens_max,
          .logit_rows_max = std::max(options.sequences_max, options.logit_rows_max),
          .n_draft_max = options.speculation.method.empty() ? 0 : options.speculation.n_draft_max,
          .waiting_max = options.waiting_max + options.sequences_max,  // Engine::submit keeps the narrower bound
          .prefix_caching = options.prefix_caching,
          .policy = find_policy(options.policy),
          .n_state_slots = options.n_state_slots,
          .n_state_snapshots = options.n_state_snapshots,
          .snapshot_blocks = options.snapshot_blocks};
}

int steps_in_flight(const model::Model& model, bool samples_on_device) {
  constexpr int kSampledMax = 2;  // Batch::token_rows can name rows of the previous step only
  if (samples_on_device) return std::min(kSampledMax, model.steps_in_flight_max());
  return model.samples_on_device() ? 1 : std::min(kInFlightMax, model.steps_in_flight_max());
}

void share_out(StepRoom& room, int depth, const Scheduler& scheduler) {
  constexpr int64_t kPrefillMin = 256;  // fewer tokens would not make use of a stage's weights
  const auto share = [depth](int64_t all) { return (all + depth - 1) / depth; };
  const int64_t prefill = share(scheduler.n_prefill_tokens() + scheduler.n_waiting_tokens());
  room.decodes_max = static_cast<int>(std::max<int64_t>(1, share(scheduler.n_running())));
  room.prefill_max = static_cast<int>(std::clamp<int64_t>(prefill, kPrefillMin, INT_MAX));
}

}  // namespace polymath::engine
