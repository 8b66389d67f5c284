#pragma once

// What a chat says about tools: tools, tool_choice, parallel_tool_calls, and OpenAI's older functions, function_call.

#include <string>

#include "api/limits.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

struct ToolRequest {
  base::JsonValue tools;  // checked; null: none, or none may be called
  bool parallel = true;   // an answer may have several calls
  bool legacy = false;    // asked by `functions`: the answer has one function_call
  bool forced = false;    // the answer is a call, or several
  std::string function;   // forced: of this function; empty: of any
};

// kInvalidArgument, kUnimplemented: a field, named.
absl::StatusOr<ToolRequest> parse_tool_request(const base::JsonObject& request, const ApiLimits& limits);

}  // namespace polymath::api
