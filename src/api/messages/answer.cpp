#include "api/messages/answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/collecting_writer.h"
#include "api/event_stream.h"
#include "api/handler.h"
#include "api/json_values.h"
#include "api/output/output_blocks.h"

namespace polymath::api {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;

struct ErrorRow {
  int http;
  std::string_view type;
};
constexpr ErrorRow kErrors[] = {
    {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"}, {413, "request_too_large"},
    {429, "rate_limit_error"},     {503, "overloaded_error"}, {504, "timeout_error"},
};

std::string_view error_type(int http_status) {
  for (const ErrorRow& row : kErrors) {
    if (row.http == http_status) return row.type;
  }
  return http_status < 500 ? "invalid_request_error" : "api_error";
}

std::string_view stop_reason(const ChoiceEnd& end) {
  if (!end.stop_string.empty()) return "stop_sequence";
  if (end.reason == engine::finish_reason_name(engine::FinishReason::kLength)) return "max_tokens";
  return end.has_calls ? "tool_use" : "end_turn";
}

// Anthropic has no reason for an answer that the server cut short, so it is an error.
bool is_broken_off(const ChoiceEnd& end) {
  return end.reason == engine::finish_reason_name(engine::FinishReason::kCancelled);
}

JsonValue stop_sequence(const ChoiceEnd& end) {
  if (end.stop_string.empty()) return nullptr;
  return text_json(end.stop_string);
}

// Anthropic counts cached tokens apart.
JsonObject usage_object(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", JsonObject{{"thinking_tokens", usage.reasoning_tokens}}},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens}};
}

JsonObject message_object(const MessagesContext& context, JsonArray content, const Usage& usage) {
  return {{"id", text_json(absl::StrCat("msg_", context.request_id))},
          {"type", "message"},
          {"role", "assistant"},
          {"model", text_json(context.model)},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr},
          {"usage", usage_object(usage)}};
}

// The block as it begins, or whole. Reasoning needs no signature here: any is taken back.
JsonObject block_object(const OutputBlock& block, bool is_whole) {
  const std::string_view text = is_whole ? std::string_view(block.text) : std::string_view();
  if (block.kind == BlockKind::kContent) return {{"type", "text"}, {"text", text_json(text)}};
  if (block.kind == BlockKind::kReasoning) {
    return {{"type", "thinking"}, {"thinking", text_json(text)}, {"signature", ""}};
  }
  JsonObject out{{"type", "tool_use"}, {"id", text_json(block.id)}, {"name", text_json(block.name)}};
  out["input"] = JsonObject{};
  if (!is_whole) return out;
  auto input = base::parse_json(text, {.mend_surrogates = true});
  if (input.ok() && input->is_object()) out["input"] = *std::move(input);  // else the call was cut off
  return out;
}

class WholeMessage : public CollectingWriter {
 public:
  explicit WholeMessage(MessagesContext context) : CollectingWriter(1), context_(std::move(context)) {}

  void on_error(const absl::Status& error) override {
    send_error(*context_.reply, messages_error, error, context_.request_id);
  }

 private:
  void answer(std::vector<CollectedChoice> choices, const Usage& usage) override {
    const CollectedChoice& choice = choices.front();
    if (is_broken_off(choice.end)) return on_error(absl::UnavailableError(kShuttingDown));
    JsonArray content;
    for (const OutputBlock& block : blocks_of(choice.events, choice.text)) content.push_back(block_object(block, true));
    JsonObject message = message_object(context_, std::move(content), usage);
    message["stop_reason"] = text_json(stop_reason(choice.end));
    message["stop_sequence"] = stop_sequence(choice.end);
    send_json(*context_.reply, base::to_text(message), context_.request_id);
  }

  const MessagesContext context_;
};

class MessageStream : public AnswerWriter, private BlockStream {
 public:
  explicit MessageStream(MessagesContext context)
      : context_(std::move(context)),
        stream_(context_.reply, {{"X-Request-Id", context_.request_id}}, "data: ", context_.silence_s_max) {}

  void on_prompt_token(int, int, const TokenInfo&) override {}
  void on_delta(const Delta& delta, const Usage& so_far) override {
    begin(so_far);
    push(delta);
  }
  void on_end(const ChoiceEnd& end, const Usage& so_far) override {
    begin(so_far);
    close();
    end_ = end;
  }
  void on_done(const Usage& usage) override {
    if (is_broken_off(end_)) return on_error(absl::UnavailableError(kShuttingDown));
    const JsonObject delta{{"stop_reason", text_json(stop_reason(end_))}, {"stop_sequence", stop_sequence(end_)}};
    send("message_delta", {{"delta", delta}, {"usage", usage_object(usage)}});
    send("message_stop", {});
    stream_.close();
  }
  void on_error(const absl::Status& error) override {
    if (!stream_.is_open()) return send_error(*context_.reply, messages_error, error, context_.request_id);
    stream_.named_event("error", messages_error(failure_of(error)).body);
    stream_.close();
  }
  void flush() override { stream_.flush(); }

 private:
  void begin(const Usage& so_far) {
    if (std::exchange(begun_, true)) return;
    Usage usage = so_far;
    usage.completion_tokens = usage.reasoning_tokens = 0;  // `so_far` may count the first token already
    send("message_start", {{"message", message_object(context_, {}, usage)}});
  }

  void on_begin(const OutputBlock& block) override {
    send("content_block_start", {{"index", index_}, {"content_block", block_object(block, false)}});
  }
  void on_piece(const OutputBlock& block, std::string_view piece) override {
    JsonObject delta;
    if (block.kind == BlockKind::kContent) delta = {{"type", "text_delta"}, {"text", text_json(piece)}};
    if (block.kind == BlockKind::kReasoning) delta = {{"type", "thinking_delta"}, {"thinking", text_json(piece)}};
    if (block.kind == BlockKind::kCall) delta = {{"type", "input_json_delta"}, {"partial_json", text_json(piece)}};
    send("content_block_delta", {{"index", index_}, {"delta", std::move(delta)}});
  }
  void on_end(const OutputBlock& block) override {
    if (block.kind == BlockKind::kReasoning) {
      const JsonObject delta{{"type", "signature_delta"}, {"signature", ""}};
      send("content_block_delta", {{"index", index_}, {"delta", delta}});
    }
    send("content_block_stop", {{"index", index_}});
    ++index_;
  }

  void send(std::string_view name, const JsonObject& members) {
    JsonObject event{{"type", text_json(name)}};
    for (const auto& member : members) event[member.key()] = member.value();
    stream_.named_event(name, base::to_text(event));
  }

  const MessagesContext context_;
  EventStream stream_;
  ChoiceEnd end_;
  int index_ = 0;  // of the current block
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_messages_writer(MessagesContext context, bool stream) {
  if (stream) return std::make_unique<MessageStream>(std::move(context));
  return std::make_unique<WholeMessage>(std::move(context));
}

ErrorReply messages_error(const Failure& failure) {
  const JsonObject error{{"type", text_json(error_type(failure.http_status))},
                         {"message", text_json(excerpt(failure.message, kMessageBytesMax))}};
  return {failure.http_status, base::to_text(JsonObject{{"type", "error"}, {"error", error}})};
}

}  // namespace polymath::api
