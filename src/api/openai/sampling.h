#pragma once

// The sampling fields that both of OpenAI's generating endpoints share.

#include "api/generation.h"
#include "api/limits.h"
#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

// Fills everything of `plan` but prompts, n, lengths and logprobs. A random seed where the request has none.
absl::Status parse_sampling(base::JsonReader& j, const ServedModel& model, const ApiLimits& limits,
                            GenerationPlan& plan);

}  // namespace polymath::api
