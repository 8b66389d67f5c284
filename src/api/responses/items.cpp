#include "api/responses/items.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"

namespace polymath::api {
namespace {

using base::JsonArray;
using base::JsonObject;

const char* prefix_of(BlockKind kind) {
  if (kind == BlockKind::kCall) return "fc_";
  return kind == BlockKind::kContent ? "msg_" : "rs_";
}

const char* state_name(ItemState state) {
  if (state == ItemState::kBegun) return "in_progress";
  return state == ItemState::kCompleted ? "completed" : "incomplete";
}

}  // namespace

std::string_view response_status(const ChoiceEnd& end) {
  if (end.reason == engine::finish_reason_name(engine::FinishReason::kLength)) return "incomplete";
  return end.reason == engine::finish_reason_name(engine::FinishReason::kCancelled) ? "failed" : "completed";
}

ItemState open_item_state(const ChoiceEnd& end) {
  return response_status(end) == "completed" ? ItemState::kCompleted : ItemState::kIncomplete;
}

std::string item_id(const OutputBlock& block, std::string_view request_id, size_t number) {
  return absl::StrCat(prefix_of(block.kind), std::string(request_id), "_", number);
}

JsonObject content_part(const OutputBlock& block, std::string_view text) {
  if (block.kind == BlockKind::kReasoning) return {{"type", "reasoning_text"}, {"text", text_json(text)}};
  return {{"type", "output_text"}, {"text", text_json(text)}, {"annotations", JsonArray{}}, {"logprobs", JsonArray{}}};
}

JsonObject response_item(const OutputBlock& block, std::string_view id, ItemState state) {
  const bool is_whole = state != ItemState::kBegun;
  JsonObject out{{"id", text_json(id)}, {"status", state_name(state)}};
  if (block.kind == BlockKind::kCall) {
    out["type"] = "function_call";
    out["call_id"] = text_json(block.id);
    out["name"] = text_json(block.name);
    out["arguments"] = text_json(is_whole ? std::string_view(block.text) : std::string_view());
    return out;
  }
  JsonArray content;
  if (is_whole) content.emplace_back(content_part(block, block.text));
  if (block.kind == BlockKind::kReasoning) {
    out["type"] = "reasoning";
    out["summary"] = JsonArray{};
  } else {
    out["type"] = "message";
    out["role"] = "assistant";
  }
  out["content"] = std::move(content);
  return out;
}

JsonObject begun_response(const ResponsesContext& context) {
  JsonObject out{{"id", text_json(absl::StrCat("resp_", context.request_id))},
                 {"object", "response"},
                 {"created_at", context.created},
                 {"status", "in_progress"},
                 {"background", false},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"model", text_json(context.model)},
                 {"output", JsonArray{}},
                 {"usage", nullptr}};
  for (const auto& member : context.echoed) out[member.key()] = member.value();
  return out;
}

JsonObject ended_response(const ResponsesContext& context, JsonArray output, const ChoiceEnd& end, const Usage& usage) {
  JsonObject out = begun_response(context);
  const std::string_view status = response_status(end);
  out["status"] = text_json(status);
  if (status == "incomplete") out["incomplete_details"] = JsonObject{{"reason", "max_output_tokens"}};
  if (status == "failed") out["error"] = JsonObject{{"code", "server_error"}, {"message", kShuttingDown}};
  out["output"] = std::move(output);
  out["usage"] = JsonObject{{"input_tokens", usage.prompt_tokens},
                            {"input_tokens_details", JsonObject{{"cached_tokens", usage.cached_tokens}}},
                            {"output_tokens", usage.completion_tokens},
                            {"output_tokens_details", JsonObject{{"reasoning_tokens", usage.reasoning_tokens}}},
                            {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
  return out;
}

JsonObject assistant_message(const std::vector<OutputBlock>& blocks) {
  std::string content, reasoning;
  JsonArray calls;
  for (const OutputBlock& block : blocks) {
    if (block.kind == BlockKind::kContent) content += block.text;
    if (block.kind == BlockKind::kReasoning) reasoning += block.text;
    if (block.kind != BlockKind::kCall) continue;
    const JsonObject function{{"name", text_json(block.name)}, {"arguments", text_json(block.text)}};
    calls.push_back(JsonObject{{"id", text_json(block.id)}, {"type", "function"}, {"function", function}});
  }
  JsonObject out{{"role", "assistant"}, {"content", text_json(content)}};
  if (!reasoning.empty()) out["reasoning_content"] = text_json(reasoning);
  if (!calls.empty()) out["tool_calls"] = std::move(calls);
  return out;
}

}  // namespace polymath::api
