// One response at a time: its tokens and their times, its end, and why it is no answer.

#include "commands/load/answer_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace polymath::commands::load {
namespace {

constexpr double kEpoch = 100;
const http::ResponseHead kStream{.status = 200, .media_type = "text/event-stream", .keep_alive = true};
const http::ResponseHead kJson{.status = 200, .media_type = "application/json", .keep_alive = true};

// The pieces arrive a second apart, from kEpoch + 1 on; the end comes with the last.
Record read(const char* backend, const http::ResponseHead& head, const std::vector<std::string>& pieces) {
  AnswerReader reader(*find_dialect(backend), kEpoch, false);
  int done = 0;
  reader.on_done = [&](AnswerReader&) { ++done; };
  absl::Status status;
  double now = kEpoch;
  for (const std::string& piece : pieces) {
    now += 1;
    status = reader.on_body(head, piece, now);
    if (!status.ok()) break;
  }
  reader.on_end(status, head, now);
  EXPECT_EQ(done, 1);
  return reader.record;
}

TEST(AnswerReader, TimesAreOfTheEventsEnd) {
  const Record record =
      read("openai", kStream,
           {"data: {\"choices\":[{\"text\":\"\"}],\"usage\":{\"completion_tokens\":0}}\n\n",
            "data: {\"choices\":[{\"text\":\"a\",", "\"token_ids\":[1]}]}\n\n",
            "data: {\"choices\":[{\"text\":\"b\",\"token_ids\":[2,3],\"finish_reason\":\"length\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3,\"prompt_tokens\":7}}\n\n"
            "data: [DONE]\n\n"});
  EXPECT_TRUE(record.completed()) << record.error;
  ASSERT_EQ(record.events.size(), 2u) << "the first event carries no token";
  EXPECT_EQ(record.events[0].at, 3);
  EXPECT_EQ(record.events[0].tokens, 1);
  EXPECT_EQ(record.events[1].at, 4);
  EXPECT_EQ(record.events[1].tokens, 2);
  EXPECT_EQ(record.end, 5);
  EXPECT_EQ(record.output_tokens, 3);
  EXPECT_EQ(record.prompt_tokens, 7);
}

TEST(AnswerReader, AnAnswerAtOnceHasNoTokenTimes) {
  const Record record =
      read("tgi-generate", kJson, {"{\"generated_text\":\"ab\",", "\"details\":{\"tokens\":[{\"id\":1},{\"id\":2}]}}"});
  EXPECT_TRUE(record.completed()) << record.error;
  EXPECT_TRUE(record.events.empty());
  EXPECT_EQ(record.output_tokens, 2);
  EXPECT_EQ(record.end, 2);
}

struct NoAnswer {
  const char* backend;
  http::ResponseHead head;
  std::vector<std::string> pieces;
  const char* says;
};

TEST(AnswerReader, WhatIsNoAnswer) {
  const std::string token = "data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
  const NoAnswer failures[] = {
      {"openai", kStream, {token}, "stopped before its end"},
      {"openai", kStream, {}, "stopped before its end"},
      {"openai", kStream, {token, "data: {\"error\":{\"message\":\"died\"}}\n\n", "data: [DONE]\n\n"}, "died"},
      {"openai", kStream, {"data: {\n\n"}, "an event is no JSON"},
      {"openai", kJson, {"{}"}, "no stream of events but `application/json`"},
      {"openai", {.status = 429}, {"{\"error\":", "{\"message\":\"busy\"}}"}, "busy"},
      {"openai", {.status = 502}, {"<html>"}, "<html>"},
      {"openai", {.status = 503}, {}, "no words"},
      {"tgi", kStream, {"data: {\"error\":\"overloaded\"}\n\n"}, "overloaded"},
      {"tgi-generate", kJson, {"[]"}, "stopped before its end"},
      {"tgi-generate", kJson, {"{"}, "no JSON"},
      {"openai", kStream, {"data: " + std::string(kEventBytesMax, 'x')}, "an event of more than"},
      {"openai", {.status = 500}, {std::string(3 * kRefusalBytesMax, 'x'), "more"}, "xxx"},
  };
  for (const NoAnswer& failure : failures) {
    const Record record = read(failure.backend, failure.head, failure.pieces);
    EXPECT_FALSE(record.completed());
    EXPECT_NE(record.error.find(failure.says), std::string::npos) << failure.says << ": " << record.error;
    EXPECT_EQ(record.status, failure.head.status);
  }
}

TEST(AnswerReader, KeepsTheAnswerForANextTurn) {
  AnswerReader reader(*find_dialect("openai"), kEpoch, true);
  reader.on_done = [](AnswerReader&) {};
  const std::string events =
      "data: {\"choices\":[{\"text\":\"a\",\"token_ids\":[1]}]}\n\n"
      "data: {\"choices\":[{\"text\":\"b\",\"token_ids\":[2]}]}\n\ndata: [DONE]\n\n";
  ASSERT_TRUE(reader.on_body(kStream, events, kEpoch).ok());
  EXPECT_EQ(reader.text(), "ab");
  EXPECT_EQ(reader.ids(), (std::vector<int32_t>{1, 2}));
}

}  // namespace
}  // namespace polymath::commands::load
