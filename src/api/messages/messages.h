#pragma once

// Anthropic's Messages API: /v1/messages and /v1/messages/count_tokens.

#include "api/dialects.h"

namespace polymath::api {

extern const Dialect kMessagesDialect;

}  // namespace polymath::api
