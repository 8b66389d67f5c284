#include "api/openai/writers.h"

#include <gtest/gtest.h>

#include "api/fake_reply_test.h"
#include "api/test_model.h"

namespace polymath::api {
namespace {

struct Fixture {
  ServedModel model = stand_in_model();
  std::shared_ptr<FakeReply> reply = std::make_shared<FakeReply>();
  AnswerOptions options;
  int n = 1;
  std::vector<int32_t> prompt = {1, 2};

  std::unique_ptr<AnswerWriter> writer(bool stream, double silence_s_max = 15) {
    WriterContext context;
    context.head.endpoint = Endpoint::kCompletions;
    context.head.id = "cmpl-1";
    context.head.options = options;
    context.head.options.model = "m";
    context.head.n = n;
    context.head.options.stream = stream;
    context.head.model = &model;
    context.prompts.ids = {prompt};
    context.prompts.facts = {{.text = "echoed"}};
    context.request_id = "1";
    context.reply = reply;
    context.silence_s_max = silence_s_max;
    context.candidates = n;
    return make_writer(std::move(context));
  }
};

TEST(Writers, AFailureBeforeTheFirstTokenIsAnErrorStatus) {
  for (const bool stream : {false, true}) {
    Fixture f;
    f.writer(stream)->on_error(absl::InternalError("broken"));
    EXPECT_EQ(f.reply->log,
              "send 500 "
              R"({"error":{"message":"broken","type":"InternalServerError","param":null,"code":500}})");
  }
}

TEST(Writers, AFailureWithinAStreamIsAnEventAndThenDone) {
  Fixture f;
  const auto writer = f.writer(true);
  writer->on_delta({.choice = 0, .text = "a", .tokens = {{.id = 5}}}, {});
  writer->flush();
  writer->on_error(absl::InternalError("broken"));
  const std::string& log = f.reply->log;
  EXPECT_EQ(log.find("start 200 text/event-stream"), 0u);
  EXPECT_NE(log.find(R"("text":"a")"), std::string::npos);
  EXPECT_TRUE(log.ends_with("\"code\":500}}\n\ndata: [DONE]\n\nend")) << log;
}

constexpr double kAtOnce = 1e-9;
constexpr char kAlive[] = "start 200 text/event-stream; charset=utf-8\n: keep-alive\n";

TEST(Writers, ASilentStreamSaysThatItLives) {
  Fixture f;
  const auto writer = f.writer(true, kAtOnce);
  writer->flush();
  EXPECT_EQ(f.reply->log, kAlive);
  writer->on_delta({.choice = 0, .text = "a", .tokens = {{.id = 5}}}, {});
  writer->flush();
  writer->flush();
  writer->on_end({.choice = 0, .reason = "length"}, {});
  writer->on_done({});
  writer->flush();
  const std::string& log = f.reply->log;
  EXPECT_EQ(log.find("data: {"), std::string(kAlive).size());
  EXPECT_NE(log.find("\n\n: keep-alive\ndata: {"), std::string::npos) << log;
  EXPECT_TRUE(log.ends_with("data: [DONE]\n\nend")) << log;
}

TEST(Writers, AFailureBehindASignOfLifeIsAnEvent) {
  Fixture f;
  const auto writer = f.writer(true, kAtOnce);
  writer->flush();
  writer->on_error(absl::InternalError("broken"));
  const std::string& log = f.reply->log;
  EXPECT_EQ(log.find(std::string(kAlive) + "data: {\"error\""), 0u) << log;
  EXPECT_TRUE(log.ends_with("data: [DONE]\n\nend")) << log;
}

TEST(Writers, OnlyStreamsSayThatTheyLive) {
  Fixture f;
  f.writer(false, kAtOnce)->flush();
  f.writer(true, 0)->flush();  // off
  f.writer(true, 3600)->flush();
  EXPECT_EQ(f.reply->log, "");
}

TEST(Writers, AnEmptyDeltaMakesNoChunk) {
  Fixture f;
  const auto writer = f.writer(true);
  writer->on_delta({.choice = 0, .tokens = {{.id = 5}}}, {});
  writer->flush();
  EXPECT_EQ(f.reply->log.find("data:"), std::string::npos);
}

size_t count(const std::string& text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TokenInfo token(int32_t id) { return {.id = id, .chosen = {.id = id, .logprob = -0.5f, .rank = 1}}; }

TEST(Writers, AnIntervalGathersTokensButForTheFirstAndTheLast) {
  Fixture f;
  f.options.stream_interval = 3;
  const auto writer = f.writer(true);
  for (const char* text : {"a", "b", "c", "d", "e", "f"}) writer->on_delta({.text = text, .tokens = {token(5)}}, {});
  writer->on_end({.reason = "length"}, {});
  writer->on_done({});
  const std::string& log = f.reply->log;
  for (const char* text : {R"("text":"a")", R"("text":"bcd")", R"("text":"ef")"})
    EXPECT_EQ(count(log, text), 1u) << log;
  EXPECT_EQ(count(log, "data: {"), 4u);
}

TEST(Writers, UnderEchoWithLogprobsChoicesWaitForThePrompts) {
  Fixture f;
  f.options.echo = f.options.logprobs = true;
  f.n = 2;
  f.prompt = {100, 101, 102};
  const auto writer = f.writer(true);
  writer->on_delta({.choice = 1, .text = "x", .tokens = {token(5)}}, {});
  writer->on_prompt_token(0, 1, token(101));
  writer->flush();
  EXPECT_EQ(count(f.reply->log, "data: {"), 0u) << f.reply->log;
  writer->on_prompt_token(0, 2, token(102));
  writer->flush();
  const std::string& log = f.reply->log;
  EXPECT_EQ(count(log, R"("token_logprobs":[null,-5E-1,-5E-1])"), 2u) << log;
  EXPECT_EQ(count(log, R"("text":"echoed")"), 2u) << log;
  EXPECT_EQ(count(log, R"("text":"x")"), 1u) << log;
  EXPECT_LT(log.rfind("null,-5E-1,-5E-1"), log.find(R"("text":"x")"));
}

TEST(Writers, AnAbortedPromptShowsWhatItHas) {
  Fixture f;
  f.options.echo = f.options.logprobs = true;
  f.prompt = {100, 101, 102};
  const auto writer = f.writer(true);
  writer->on_prompt_token(0, 1, token(101));
  writer->on_end({.reason = "abort"}, {});
  writer->on_done({});
  EXPECT_EQ(count(f.reply->log, R"("token_logprobs":[null,-5E-1])"), 1u) << f.reply->log;
  EXPECT_EQ(count(f.reply->log, R"("finish_reason":"abort")"), 1u);
}

TEST(Writers, AWholeAnswerIsSentOnceAtTheEnd) {
  Fixture f;
  const auto writer = f.writer(false);
  writer->on_delta({.choice = 0, .text = "a", .tokens = {{.id = 5}}}, {});
  writer->on_end({.choice = 0, .reason = "length"}, {});
  EXPECT_EQ(f.reply->log, "");
  writer->on_done({.prompt_tokens = 2, .completion_tokens = 1, .cached_tokens = 0});
  EXPECT_EQ(f.reply->log.find("send 200 "), 0u);
  EXPECT_NE(f.reply->log.find(R"("total_tokens":3)"), std::string::npos);
}

}  // namespace
}  // namespace polymath::api
