#include "api/responses/answer.h"

#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "api/fake_reply_test.h"
#include "api/openai/error.h"

namespace polymath::api {
namespace {

using text::OutputEvent;
using text::OutputKind;

struct Fixture {
  std::shared_ptr<FakeReply> reply = std::make_shared<FakeReply>();
  std::string stored, message;

  std::unique_ptr<AnswerWriter> writer(bool stream) {
    return make_responses_writer({.model = "m",
                                  .request_id = "1",
                                  .created = 7,
                                  .echoed = {{"store", true}},
                                  .reply = reply,
                                  .errors = openai_error,
                                  .silence_s_max = 15,
                                  .store =
                                      [this](const base::JsonObject& response, const base::JsonObject& sent) {
                                        stored = base::to_text(response);
                                        message = base::to_text(sent);
                                      }},
                                 stream);
  }
};

// Reasoning, words, and a call.
void write_all(AnswerWriter& writer, std::string_view reason) {
  const Usage usage{.prompt_tokens = 5, .completion_tokens = 4, .cached_tokens = 2, .reasoning_tokens = 1};
  Delta delta;
  delta.events = {{.kind = OutputKind::kReasoning, .text = "r"}, {.kind = OutputKind::kContent, .text = "a"}};
  writer.on_delta(delta, usage);
  delta.events = {{.kind = OutputKind::kContent, .text = "b"},
                  {.kind = OutputKind::kCallBegin, .text = "f", .id = "call_1", .call = 0},
                  {.kind = OutputKind::kArguments, .text = "{", .call = 0}};
  writer.on_delta(delta, usage);
  delta.events = {{.kind = OutputKind::kArguments, .text = "}", .call = 0}, {.kind = OutputKind::kCallEnd, .call = 0}};
  writer.on_delta(delta, usage);
  writer.on_end({.choice = 0, .reason = reason, .has_calls = true}, usage);
  writer.on_done(usage);
}

constexpr std::string_view kOutput =
    R"([{"id":"rs_1_0","status":"completed","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"r"}]},)"
    R"({"id":"msg_1_1","status":"completed","type":"message","role":"assistant","content":[{"type":"output_text",)"
    R"("text":"ab","annotations":[],"logprobs":[]}]},)"
    R"({"id":"fc_1_2","status":"completed","type":"function_call","call_id":"call_1","name":"f","arguments":"{}"}])";

TEST(ResponsesAnswer, AWholeAnswerHasItemsInOrder) {
  Fixture f;
  write_all(*f.writer(false), "stop");
  const std::string want = absl::StrCat(
      R"({"id":"resp_1","object":"response","created_at":7,"status":"completed","background":false,"error":null,)",
      R"("incomplete_details":null,"model":"m","output":)", std::string(kOutput),
      R"(,"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":4,)",
      R"("output_tokens_details":{"reasoning_tokens":1},"total_tokens":9},"store":true})");
  EXPECT_EQ(f.reply->log, "send 200 " + want);
  EXPECT_EQ(f.stored, want);
  EXPECT_EQ(f.message, R"({"role":"assistant","content":"ab","reasoning_content":"r","tool_calls":[)"
                       R"({"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]})");
}

std::vector<base::JsonObject> events_of(const std::string& log) {
  std::vector<base::JsonObject> out;
  for (const auto& line : absl::StrSplit(log, '\n')) {
    const std::string text(line);
    if (!text.starts_with("data: ")) continue;
    auto json = base::parse_json(std::string_view(text).substr(6), {});
    EXPECT_TRUE(json.ok()) << text;
    out.push_back(json->get_object());
  }
  return out;
}

TEST(ResponsesAnswer, AStreamHasTheEventsInOrder) {
  Fixture f;
  const auto writer = f.writer(true);
  write_all(*writer, "stop");
  const char* const kWanted[] = {
      "response.created",
      "response.in_progress",  //
      "response.output_item.added",
      "response.content_part.added",  // reasoning
      "response.reasoning_text.delta",
      "response.reasoning_text.done",  //
      "response.content_part.done",
      "response.output_item.done",  //
      "response.output_item.added",
      "response.content_part.added",  // words
      "response.output_text.delta",
      "response.output_text.delta",  //
      "response.output_text.done",
      "response.content_part.done",  //
      "response.output_item.done",
      "response.output_item.added",  // the call
      "response.function_call_arguments.delta",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",  //
      "response.completed",
  };
  const auto events = events_of(f.reply->log);
  ASSERT_EQ(events.size(), std::size(kWanted));
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].at("type"), kWanted[i]) << i;
    EXPECT_EQ(events[i].at("sequence_number"), static_cast<int64_t>(i));
    EXPECT_NE(f.reply->log.find(absl::StrCat("event: ", kWanted[i], "\ndata: ")), std::string::npos);
  }
  EXPECT_EQ(events[10].at("item_id"), "msg_1_1");
  EXPECT_EQ(events[10].at("output_index"), 1);
  EXPECT_EQ(events[12].at("text"), "ab");
  EXPECT_EQ(events[18].at("arguments"), "{}");
  EXPECT_EQ(base::to_text(events.back().at("response").at("output")), kOutput);
  EXPECT_EQ(base::to_text(events.back().at("response")), f.stored);
  EXPECT_TRUE(f.reply->log.ends_with("end"));
}

TEST(ResponsesAnswer, ACutAnswerIsIncompleteAndSoIsItsLastItem) {
  for (const bool stream : {false, true}) {
    Fixture f;
    const auto writer = f.writer(stream);
    Delta delta;
    delta.events = {{.kind = OutputKind::kReasoning, .text = "r"}, {.kind = OutputKind::kContent, .text = "a"}};
    writer->on_delta(delta, {});
    writer->on_end({.choice = 0, .reason = "length"}, {});
    writer->on_done({});
    const auto response = base::parse_json(f.stored, {});
    ASSERT_TRUE(response.ok());
    EXPECT_EQ(response->at("status"), "incomplete");
    EXPECT_EQ(response->at("incomplete_details").at("reason"), "max_output_tokens");
    const base::JsonArray& output = response->at("output").get_array();
    EXPECT_EQ(output.front().at("status"), "completed");
    EXPECT_EQ(output.back().at("status"), "incomplete");
    EXPECT_EQ(f.reply->log.find("response.completed"), std::string::npos);
  }
}

TEST(ResponsesAnswer, AFailureIsAStatusAndWithinAStreamAnEvent) {
  for (const bool stream : {false, true}) {
    Fixture f;
    f.writer(stream)->on_error(absl::InternalError("broken"));
    EXPECT_TRUE(f.reply->log.starts_with("send 500 ")) << f.reply->log;
  }
  Fixture f;
  const auto writer = f.writer(true);
  writer->on_delta({.choice = 0, .text = "a"}, {});
  writer->on_error(absl::InternalError("broken"));
  const auto events = events_of(f.reply->log);
  EXPECT_EQ(events.back().at("type"), "response.failed");
  EXPECT_EQ(events.back().at("response").at("error").at("message"), "broken");
  EXPECT_TRUE(f.stored.empty());
}

TEST(ResponsesAnswer, AnAnswerThatTheServerCutsShortHasFailed) {
  Fixture f;
  write_all(*f.writer(true), "abort");
  EXPECT_EQ(events_of(f.reply->log).back().at("type"), "response.failed");
}

}  // namespace
}  // namespace polymath::api
