#pragma once

// What a request says about log-probabilities, and how large an answer they and its copies of the prompt make.

#include "api/limits.h"
#include "api/openai/request.h"
#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

// Reads logprobs, top_logprobs, prompt_logprobs and logprob_token_ids. REQUIRES: echo and stream are read.
absl::Status parse_logprobs(base::JsonReader& j, const ServedModel& model, const ApiLimits& limits, OpenAiRequest& out);

// Bounds the answer's size (api/request/answer_size.h). REQUIRES: prompts are resolved.
absl::Status bound_openai_answer(OpenAiRequest& request, const ApiLimits& limits);

}  // namespace polymath::api
