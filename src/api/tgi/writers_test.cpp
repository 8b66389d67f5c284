#include "api/tgi/writers.h"

#include <gtest/gtest.h>

#include "api/fake_reply_test.h"
#include "api/status.h"
#include "api/test_model.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

constexpr char kStart[] = "start 200 text/event-stream; charset=utf-8\n";

TokenInfo token(int32_t id, float logprob) { return {.id = id, .chosen = {.id = id, .logprob = logprob}}; }

struct Fixture {
  ServedModel model = stand_in_model();
  std::shared_ptr<FakeReply> reply = std::make_shared<FakeReply>();
  TgiAnswerOptions options;
  TgiShape shape = TgiShape::kObject;

  std::unique_ptr<AnswerWriter> writer(bool stream, int n_choices = 1) {
    TgiWriterContext context{.model = model};
    context.answer = {.options = options, .inputs = "the", .prompt = {5, 6}, .seed = 42};
    context.shape = shape;
    context.device = "cpu";
    context.characters = 3;
    context.arrived = base::steady_seconds();
    context.request_id = "1";
    context.reply = reply;
    return make_tgi_writer(std::move(context), n_choices, stream);
  }
};

Delta delta(const char* text, TokenInfo token, bool last = false) {
  return {.text = text, .tokens = {std::move(token)}, .last = last};
}

TEST(TgiWriters, AnEventATokenAndTheTextWithTheLast) {
  Fixture f;
  const auto writer = f.writer(true);
  writer->on_delta(delta("", token(309, -0.5f)), {});
  writer->flush();
  const std::string first = f.reply->log;
  EXPECT_TRUE(first.starts_with(std::string(kStart) + R"(data:{"index":1,"token":{"id":309,"text":)")) << first;
  EXPECT_TRUE(first.ends_with(R"("generated_text":null,"details":null})"
                              "\n\n"))
      << first;
  writer->on_delta(delta(" cat", token(2, -0.25f), /*last=*/true), {});
  writer->flush();
  EXPECT_EQ(f.reply->log, first) << "the last waits for the end";
  writer->on_delta({.text = "!"}, {});  // text held back until the end
  writer->on_end({.reason = "stop"}, {});
  writer->on_done({});
  const std::string rest = f.reply->log.substr(first.size());
  EXPECT_TRUE(rest.starts_with(R"(data:{"index":2,"token":{"id":2,)")) << rest;
  EXPECT_TRUE(rest.ends_with(R"("special":true},"generated_text":" cat!","details":null})"
                             "\n\nend"))
      << rest;
  EXPECT_EQ(f.reply->header("x-compute-type"), "cpu");
  EXPECT_EQ(f.reply->header("x-compute-characters"), "3");
}

TEST(TgiWriters, AStreamThatIsCutOffSaysSo) {
  Fixture f;
  const auto writer = f.writer(true);
  writer->on_delta(delta(" cat", token(309, -0.5f)), {});
  writer->on_end({.reason = "abort"}, {});
  writer->on_done({});
  EXPECT_TRUE(f.reply->log.ends_with(
      R"(data:{"error":"Incomplete generation stream","error_type":"incomplete_generation_stream"})"
      "\n\nend"))
      << f.reply->log;
}

TEST(TgiWriters, AFailureIsAStatusBeforeTheFirstTokenAndAnEventBehindIt) {
  const std::string body = R"({"error":"Request failed during generation: broken","error_type":"generation"})";
  for (const bool stream : {false, true}) {
    Fixture f;
    f.writer(stream)->on_error(absl::InternalError("broken"));
    EXPECT_EQ(f.reply->log, "send 424 " + body);
  }
  Fixture f;
  const auto writer = f.writer(true);
  writer->on_delta(delta(" cat", token(309, -0.5f)), {});
  writer->on_error(absl::InternalError("broken"));
  EXPECT_TRUE(f.reply->log.ends_with("data:" + body + "\n\nend")) << f.reply->log;
}

TEST(TgiWriters, AWholeAnswerHasTheTimesAsHeaders) {
  Fixture f;
  f.shape = TgiShape::kArray;
  const auto writer = f.writer(false);
  const double now = base::steady_seconds();
  writer->on_delta(delta(" cat", token(309, -0.5f)), {});
  writer->on_delta(delta("s", token(310, -0.5f), /*last=*/true), {});
  writer->on_end({.reason = "length", .times = {.arrived = now + 1, .started = now + 3}}, {});
  writer->on_done({});
  EXPECT_EQ(f.reply->log, R"(send 200 [{"generated_text":" cats"}])");
  const char* names[] = {"x-compute-type",  "x-compute-time",   "x-compute-characters", "x-total-time",
                         "x-queue-time",    "x-inference-time", "x-time-per-token",     "x-validation-time",
                         "x-prompt-tokens", "X-Request-Id"};
  for (const char* name : names) EXPECT_NE(f.reply->header(name), "") << name;
  EXPECT_EQ(f.reply->header("x-queue-time"), "2000");
  EXPECT_EQ(f.reply->header("x-prompt-tokens"), "2");
  EXPECT_EQ(f.reply->header("x-generated-tokens"), "2");
}

TEST(TgiWriters, BestOfShowsTheBestAndACutOffChoiceIsIncomplete) {
  for (const bool cut_off : {false, true}) {
    Fixture f;
    const auto writer = f.writer(false, 2);
    Delta second = delta(" dog", token(310, -0.25f), true);
    second.choice = 1;
    writer->on_delta(delta(" cat", token(309, -0.5f), true), {});
    writer->on_delta(second, {});
    writer->on_end({.reason = "length"}, {});
    writer->on_end({.choice = 1, .reason = cut_off ? "abort" : "length"}, {});
    writer->on_done({});
    EXPECT_EQ(f.reply->log, cut_off
                                ? R"(send 500 {"error":"Incomplete generation","error_type":"incomplete_generation"})"
                                : R"(send 200 {"generated_text":" dog"})");
  }
}

}  // namespace
}  // namespace polymath::api
