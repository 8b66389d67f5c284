#pragma once

// OpenAI's Responses API: /v1/responses, and the stored responses under it.

#include "api/dialects.h"

namespace polymath::api {

extern const Dialect kResponsesDialect;

}  // namespace polymath::api
