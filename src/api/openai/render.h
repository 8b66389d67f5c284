#pragma once

// POST /v1/completions/render and /v1/chat/completions/render: what a request would run, without running it.
//
//   chat: {request_id, model, prompt, token_ids, sampling_params}; completions: an array of them, one a prompt

#include <string>

#include "api/openai/request.h"

namespace polymath::api {

// REQUIRES: the request's prompts are resolved, with their texts.
std::string rendered_answer(const OpenAiRequest& request, Endpoint endpoint, std::string_view id);

}  // namespace polymath::api
