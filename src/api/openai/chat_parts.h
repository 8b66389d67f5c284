#pragma once

// The parts of a chat's answer as OpenAI's clients read them: content, reasoning, tool calls. Pure functions.
//
// `events` are those of one choice; their calls are numbered. Empty: `text` is the content.

#include <string_view>

#include "api/generation.h"
#include "base/json.h"

namespace polymath::api {

// How calls are written: `tool_calls`, or the one `function_call` of OpenAI's older API.
enum class CallShape : uint8_t { kTools, kFunction };

// The message of a whole answer. `echo` precedes the content.
base::JsonObject chat_message(const text::OutputEvents& events, std::string_view text, std::string_view echo,
                              CallShape shape);
// A chunk's delta.
base::JsonObject chat_delta(const text::OutputEvents& events, std::string_view text, CallShape shape);

std::string_view chat_finish_reason(const ChoiceEnd& end, CallShape shape);

}  // namespace polymath::api
