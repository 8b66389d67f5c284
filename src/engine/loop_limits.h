#pragma once

// What options, model and load come to: the scheduler's limits, steps in flight, and the room of a step.

#include "engine/options.h"
#include "engine/scheduler.h"

namespace polymath::engine {

SchedulerLimits scheduler_limits(const EngineOptions& options);

// Steps in flight at most. `samples_on_device`: for requests that allow it.
int steps_in_flight(const model::Model& model, bool samples_on_device);
inline constexpr int kInFlightMax = 8;  // of a longer pipeline some stages have nothing to do

// Keeps sequences and prompt tokens for the other stages of a pipeline: each of `depth` steps gets an even share.
void share_out(StepRoom& room, int depth, const Scheduler& scheduler);

}  // namespace polymath::engine
