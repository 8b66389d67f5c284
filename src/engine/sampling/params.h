#pragma once

// Limits of what a client may ask of the sampler. submit() checks them first.

#include "base/status.h"
#include "engine/request.h"

namespace polymath::engine {

inline constexpr int kLogprobsMax = 20;              // best ids beside a token; more: kInvalidArgument
inline constexpr int kLogitBiasMax = 1024;           // entries; more: kInvalidArgument
inline constexpr int kAllowedIdsMax = 1 << 20;       // entries; more: kInvalidArgument
inline constexpr int kStopIdsMax = 1024;             // entries of stop_ids and of eos_ids; more: kInvalidArgument
inline constexpr float kLogitBiasValueMax = 100;     // of either sign; beyond it: kInvalidArgument
inline constexpr float kTemperatureMax = 100;        // higher: kInvalidArgument; uniform long before
inline constexpr float kRepetitionPenaltyMax = 100;  // higher: kInvalidArgument
inline constexpr float kGreedyBelow = 1e-5f;         // a lower temperature is greedy; dividing by it would overflow

// kInvalidArgument with a sentence that begins with the field's name as clients spell it ("temperature", "top_p", ...).
absl::Status check_sampling(const SamplingParams& params, int vocab);

inline bool is_greedy(const SamplingParams& params) { return params.temperature < kGreedyBelow; }

}  // namespace polymath::engine
