#pragma once

// A chat's messages, checked and made regular: what every template may rely on, however a client wrote them.
//
//   role        a string
//   content     a string, or a list of {"type": "text", "text": "..."}; never null or absent
//   tool_calls  absent, or a list with at least one object
//   reasoning_content, reasoning, thinking   all three, or none (assistant). Beside calls and a content `thinking` is
//               only as sent
//   others      as sent, without those that are null
//
// How one template wants contents and calls: api/chat/message_form.h.
// Sources: vLLM's entrypoints/chat_utils, transformers' utils/chat_template_utils.

#include "api/limits.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

// The request's "messages". kInvalidArgument names the message.
absl::StatusOr<base::JsonArray> regular_messages(const base::JsonObject& request, const ApiLimits& limits);

// The request's "tools", null if there are none. kInvalidArgument names the tool: one is flat, or no function.
absl::StatusOr<base::JsonValue> checked_tools(const base::JsonObject& request, const ApiLimits& limits);

// The parts' texts, one a line. REQUIRES: regular parts.
boost::json::string joined_lines(const base::JsonArray& parts);

}  // namespace polymath::api
