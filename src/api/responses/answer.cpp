#include "api/responses/answer.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/collecting_writer.h"
#include "api/event_stream.h"
#include "api/handler.h"
#include "api/json_values.h"
#include "api/openai/error.h"
#include "api/output/output_blocks.h"
#include "api/responses/items.h"

namespace polymath::api {
namespace {

using base::JsonArray;
using base::JsonObject;

class WholeResponse : public CollectingWriter {
 public:
  explicit WholeResponse(ResponsesContext context) : CollectingWriter(1), context_(std::move(context)) {}

  void on_error(const absl::Status& error) override {
    send_error(*context_.reply, context_.errors, error, context_.request_id);
  }

 private:
  void answer(std::vector<CollectedChoice> choices, const Usage& usage) override {
    const CollectedChoice& choice = choices.front();
    const std::vector<OutputBlock> blocks = blocks_of(choice.events, choice.text);
    JsonArray output;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const bool was_open = i + 1 == blocks.size() && blocks[i].kind != BlockKind::kCall;
      const ItemState state = was_open ? open_item_state(choice.end) : ItemState::kCompleted;
      output.push_back(response_item(blocks[i], item_id(blocks[i], context_.request_id, i), state));
    }
    const JsonObject response = ended_response(context_, std::move(output), choice.end, usage);
    if (context_.store) context_.store(response, assistant_message(blocks));
    send_json(*context_.reply, base::to_text(response), context_.request_id);
  }

  const ResponsesContext context_;
};

class ResponseStream : public AnswerWriter, private BlockStream {
 public:
  explicit ResponseStream(ResponsesContext context)
      : context_(std::move(context)),
        stream_(context_.reply, {{"X-Request-Id", context_.request_id}}, "data: ", context_.silence_s_max) {}

  void on_prompt_token(int, int, const TokenInfo&) override {}
  void on_delta(const Delta& delta, const Usage&) override {
    begin();
    push(delta);
  }
  void on_end(const ChoiceEnd& end, const Usage&) override {
    begin();
    end_ = end;
    state_ = open_item_state(end);
    close();
  }
  void on_done(const Usage& usage) override {
    const JsonObject response = ended_response(context_, output_, end_, usage);
    if (context_.store) context_.store(response, assistant_message(blocks_));
    send(absl::StrCat("response.", std::string(response_status(end_))), {{"response", response}});
    stream_.close();
  }
  void on_error(const absl::Status& error) override {
    if (!stream_.is_open()) return send_error(*context_.reply, context_.errors, error, context_.request_id);
    JsonObject response = begun_response(context_);
    response["status"] = "failed";
    const JsonObject failure{{"code", "server_error"}, {"message", text_json(failure_of(error).message)}};
    response["error"] = failure;
    send("response.failed", {{"response", response}});
    stream_.close();
  }
  void flush() override { stream_.flush(); }

 private:
  void begin() {
    if (std::exchange(begun_, true)) return;
    send("response.created", {{"response", begun_response(context_)}});
    send("response.in_progress", {{"response", begun_response(context_)}});
  }

  void on_begin(const OutputBlock& block) override {
    id_ = item_id(block, context_.request_id, blocks_.size());
    send("response.output_item.added",
         {{"output_index", index()}, {"item", response_item(block, id_, ItemState::kBegun)}});
    if (block.kind == BlockKind::kCall) return;
    send_of_part("response.content_part.added", {{"part", content_part(block, "")}});
  }

  void on_piece(const OutputBlock& block, std::string_view piece) override {
    JsonObject members{{"delta", text_json(piece)}};
    if (block.kind == BlockKind::kCall) {
      return send_of_item("response.function_call_arguments.delta", std::move(members));
    }
    if (block.kind == BlockKind::kContent) members["logprobs"] = JsonArray{};
    send_of_part(absl::StrCat(part_event(block), ".delta"), std::move(members));
  }

  void on_end(const OutputBlock& block) override {
    if (block.kind == BlockKind::kCall) {
      send_of_item("response.function_call_arguments.done",
                   {{"name", text_json(block.name)}, {"arguments", text_json(block.text)}});
    } else {
      JsonObject members{{"text", text_json(block.text)}};
      if (block.kind == BlockKind::kContent) members["logprobs"] = JsonArray{};
      send_of_part(absl::StrCat(part_event(block), ".done"), std::move(members));
      send_of_part("response.content_part.done", {{"part", content_part(block, block.text)}});
    }
    JsonObject item = response_item(block, id_, state_);
    send("response.output_item.done", {{"output_index", index()}, {"item", item}});
    output_.push_back(std::move(item));
    blocks_.push_back(block);
  }

  static const char* part_event(const OutputBlock& block) {
    return block.kind == BlockKind::kContent ? "response.output_text" : "response.reasoning_text";
  }

  int64_t index() const { return static_cast<int64_t>(output_.size()); }

  void send_of_item(std::string_view name, JsonObject members) {
    members["item_id"] = text_json(id_);
    members["output_index"] = index();
    send(name, members);
  }

  void send_of_part(std::string_view name, JsonObject members) {
    members["content_index"] = 0;
    send_of_item(name, std::move(members));
  }

  void send(std::string_view name, const JsonObject& members) {
    JsonObject event{{"type", text_json(name)}, {"sequence_number", sequence_++}};
    for (const auto& member : members) event[member.key()] = member.value();
    stream_.named_event(name, base::to_text(event));
  }

  const ResponsesContext context_;
  EventStream stream_;
  std::vector<OutputBlock> blocks_;  // whole ones
  JsonArray output_;                 // the same as items
  std::string id_;                   // of the current item
  ChoiceEnd end_;
  ItemState state_ = ItemState::kCompleted;  // of items that end now
  int64_t sequence_ = 0;
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_responses_writer(ResponsesContext context, bool stream) {
  if (stream) return std::make_unique<ResponseStream>(std::move(context));
  return std::make_unique<WholeResponse>(std::move(context));
}

}  // namespace polymath::api
