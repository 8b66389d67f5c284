#pragma once

// The error body of OpenAI's and vLLM's APIs.
//
//   {"error": {"message": "...", "type": "BadRequestError", "param": "temperature", "code": 400}}
//
// `code` is a word where clients compare one: "unsupported_parameter", "context_length_exceeded".

#include <string_view>

#include "api/status.h"

namespace polymath::api {

ErrorReply openai_error(const Failure& failure);
// The same as vLLM 0.6.3 had it: {"object": "error", "message", "type", "param", "code": 400}.
ErrorReply openai_flat_error(const Failure& failure);
std::string_view openai_error_type(int http_status);

}  // namespace polymath::api
