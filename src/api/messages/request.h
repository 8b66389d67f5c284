#pragma once

// A request of Anthropic's Messages API as the chat that OpenAI's parser reads, so that both have the same limits.
//
// Source: Anthropic's API reference, version 2023-06-01.
// Thread safety: all functions are pure.

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

struct ChatOfMessages {
  base::JsonObject chat;             // as /v1/chat/completions takes it
  std::vector<std::string> unknown;  // fields without effect
};

// kInvalidArgument, kUnimplemented: a field, named. `counts`: only the prompt is wanted, max_tokens may be absent.
absl::StatusOr<ChatOfMessages> chat_of_messages(const base::JsonValue& request, bool counts);

}  // namespace polymath::api
