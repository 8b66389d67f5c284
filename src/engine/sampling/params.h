#pragma once

// Limits of what a client may ask of the sampler. submit() checks them first.

#include "base/status.h"
#include "engine/request.h"

namespace polymath::engine {

inline constexpr int kLogitBiasMax = 1024;           // entries; more: kInvalidArgument
inline constexpr int kAllowedIdsMax = 1 << 20;       // entries; more: kInvalidArgument
inline constexpr int kStopIdsMax = 1024;             // entries of stop_ids and of eos_ids; more: kInvalidArgument
inline constexpr int kBadIdsMax = 256;               // sequences of bad_ids; more: kInvalidArgument
inline constexpr int kLogprobIdsMax = 128;           // entries of logprob_ids; more: kInvalidArgument
inline constexpr int kPatternMax = 256;              // tokens of a repeated pattern; more: kInvalidArgument
inline constexpr int kRepeatsMax = 1 << 20;          // of a pattern; more: kInvalidArgument
inline constexpr float kLogitBiasValueMax = 100;     // of either sign; beyond it: kInvalidArgument
inline constexpr float kTemperatureMax = 100;        // higher: kInvalidArgument; uniform long before
inline constexpr float kRepetitionPenaltyMax = 100;  // higher: kInvalidArgument
inline constexpr float kGreedyBelow = 1e-5f;         // a lower temperature is greedy; dividing by it would overflow

// kInvalidArgument with a sentence that begins with the field's name as clients spell it ("temperature", "top_p", ...).
absl::Status check_sampling(const SamplingParams& params, int vocab);

inline bool is_greedy(const SamplingParams& params) { return params.temperature < kGreedyBelow; }

}  // namespace polymath::engine
