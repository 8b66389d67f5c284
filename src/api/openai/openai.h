#pragma once

// OpenAI's /v1 with vLLM's extensions: completions, chat completions, models.

#include "api/dialects.h"

namespace polymath::api {

extern const Dialect kOpenAiDialect;

}  // namespace polymath::api
