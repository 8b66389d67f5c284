#pragma once

// The objects of the Responses API: responses, items, parts. Pure functions.

#include <string>
#include <string_view>
#include <vector>

#include "api/output/output_blocks.h"
#include "api/responses/answer.h"
#include "base/json.h"

namespace polymath::api {

enum class ItemState : uint8_t { kBegun, kCompleted, kIncomplete };

// "msg_...", "rs_..." or "fc_...". `number`: of the item in its response.
std::string item_id(const OutputBlock& block, std::string_view request_id, size_t number);
base::JsonObject content_part(const OutputBlock& block, std::string_view text);
// kBegun: without its text.
base::JsonObject response_item(const OutputBlock& block, std::string_view id, ItemState state);

base::JsonObject begun_response(const ResponsesContext& context);
base::JsonObject ended_response(const ResponsesContext& context, base::JsonArray output, const ChoiceEnd& end,
                                const Usage& usage);

// What an answer that ended so is: "completed", "incomplete" or "failed". A server that stops fails what still runs.
std::string_view response_status(const ChoiceEnd& end);
// Of the item that the end of the answer closed. Calls end by themselves.
ItemState open_item_state(const ChoiceEnd& end);

// The answer as a chat's message, for the response that goes on from it.
base::JsonObject assistant_message(const std::vector<OutputBlock>& blocks);

}  // namespace polymath::api
