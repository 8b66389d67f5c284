#pragma once

// Upper bounds on the speed of a group of GPUs: bytes over bandwidth, operations over rate, whichever takes longer.
// Traffic between GPUs, launches and imbalance of experts are left out, so real speed is lower.

#include "plan/gpu_group.h"

namespace polymath::plan {

// Decoded tokens a second of `sequences` at once, each with `context` tokens of KV cache.
double decode_limit(const GroupPlan& plan, double sequences, double context);

// Prompt tokens a second, in steps of one prompt of `tokens` a data-parallel group.
double prefill_limit(const GroupPlan& plan, double tokens);

}  // namespace polymath::plan
