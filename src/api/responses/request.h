#pragma once

// A request of OpenAI's Responses API as the chat that the chat endpoint's parser reads.
//
// Source: OpenAI's API reference.
// Thread safety: all functions are pure.

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

struct ChatOfResponses {
  base::JsonObject chat;     // as /v1/chat/completions takes it
  base::JsonArray messages;  // the same messages without the instructions
  base::JsonArray input;     // the request's items
  base::JsonObject echoed;   // the request's members that the response repeats
  bool store = true;
  std::vector<std::string> unknown;  // fields without effect
};

// `history`: the messages of the response that this one goes on from; empty: none.
// kInvalidArgument, kUnimplemented: a field, named.
absl::StatusOr<ChatOfResponses> chat_of_responses(const base::JsonValue& request, base::JsonArray history);

// The id that `previous_response_id` names; empty: none.
absl::StatusOr<std::string> previous_response(const base::JsonValue& request);

}  // namespace polymath::api
