#include "api/messages/answer.h"

#include <gtest/gtest.h>

#include "api/fake_reply_test.h"

namespace polymath::api {
namespace {

using text::OutputKind;

// Reasoning, words, and a call.
void write_all(AnswerWriter& writer, const ChoiceEnd& end) {
  const Usage usage{.prompt_tokens = 5, .completion_tokens = 4, .cached_tokens = 2, .reasoning_tokens = 1};
  Delta delta;
  delta.events = {{.kind = OutputKind::kReasoning, .text = "r"}, {.kind = OutputKind::kContent, .text = "a"}};
  writer.on_delta(delta, usage);
  delta.events = {{.kind = OutputKind::kCallBegin, .text = "f", .id = "call_1", .call = 0},
                  {.kind = OutputKind::kArguments, .text = "{\"x\":", .call = 0}};
  writer.on_delta(delta, usage);
  delta.events = {{.kind = OutputKind::kArguments, .text = "1}", .call = 0}, {.kind = OutputKind::kCallEnd, .call = 0}};
  writer.on_delta(delta, usage);
  writer.on_end(end, usage);
  writer.on_done(usage);
}

std::string answer_of(bool stream, const ChoiceEnd& end) {
  const auto reply = std::make_shared<FakeReply>();
  write_all(*make_messages_writer({.model = "m", .request_id = "1", .reply = reply, .silence_s_max = 15}, stream), end);
  return reply->log;
}

TEST(MessagesAnswer, AWholeAnswerHasBlocks) {
  EXPECT_EQ(
      answer_of(false, {.reason = "stop", .has_calls = true}),
      R"(send 200 {"id":"msg_1","type":"message","role":"assistant","model":"m","content":[)"
      R"({"type":"thinking","thinking":"r","signature":""},{"type":"text","text":"a"},)"
      R"({"type":"tool_use","id":"call_1","name":"f","input":{"x":1}}],"stop_reason":"tool_use",)"
      R"("stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4,"output_tokens_details":{"thinking_tokens":1},)"
      R"("cache_creation_input_tokens":0,"cache_read_input_tokens":2}})");
}

TEST(MessagesAnswer, AStreamHasTheEventsInOrder) {
  EXPECT_EQ(
      answer_of(true, {.reason = "stop", .has_calls = true}),
      "start 200 text/event-stream; charset=utf-8\n"
      "event: message_start\n"
      R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m",)"
      R"("content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":0,)"
      R"("output_tokens_details":{"thinking_tokens":0},"cache_creation_input_tokens":0,"cache_read_input_tokens":2}}})"
      "\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"r"}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":""}})"
      "\n\nevent: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":0})"
      "\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}})"
      "\n\nevent: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":1})"
      "\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_1","name":"f","input":{}}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}})"
      "\n\nevent: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":2})"
      "\n\nevent: message_delta\n"
      R"(data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":3,)"
      R"("output_tokens":4,"output_tokens_details":{"thinking_tokens":1},"cache_creation_input_tokens":0,"cache_read_input_tokens":2}})"
      "\n\nevent: message_stop\n"
      R"(data: {"type":"message_stop"})"
      "\n\nend");
}

struct StopCase {
  ChoiceEnd end;
  const char* wanted;
};
const StopCase kStops[] = {
    {{.reason = "stop"}, R"("stop_reason":"end_turn","stop_sequence":null)"},
    {{.reason = "length", .has_calls = true}, R"("stop_reason":"max_tokens","stop_sequence":null)"},
    {{.reason = "stop", .stop_string = "x"}, R"("stop_reason":"stop_sequence","stop_sequence":"x")"},
};

TEST(MessagesAnswer, StopReasons) {
  for (const StopCase& row : kStops) {
    for (const bool stream : {false, true}) {
      EXPECT_NE(answer_of(stream, row.end).find(row.wanted), std::string::npos) << row.wanted;
    }
  }
}

TEST(MessagesAnswer, AnAnswerThatTheServerCutsShortIsAnError) {
  EXPECT_EQ(answer_of(false, {.reason = "abort"}),
            R"(send 503 {"type":"error","error":{"type":"overloaded_error","message":"the server is shutting down"}})");
  const std::string stream = answer_of(true, {.reason = "abort"});
  EXPECT_NE(stream.find("event: error\ndata: {\"type\":\"error\""), std::string::npos);
  EXPECT_EQ(stream.find("message_stop"), std::string::npos);
}

TEST(MessagesAnswer, ErrorsHaveAnthropicsTypes) {
  EXPECT_EQ(messages_error({.http_status = 400, .message = "m"}).body,
            R"({"type":"error","error":{"type":"invalid_request_error","message":"m"}})");
  const std::pair<int, const char*> kTypes[] = {
      {401, "authentication_error"}, {404, "not_found_error"}, {429, "rate_limit_error"},
      {503, "overloaded_error"},     {500, "api_error"},       {422, "invalid_request_error"}};
  for (const auto& [status, type] : kTypes) {
    EXPECT_NE(messages_error({.http_status = status, .message = "m"}).body.find(type), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace polymath::api
