// Requests as text, and what events of real servers' shapes say.

#include "commands/load/dialect.h"

#include <gtest/gtest.h>

#include "commands/load/token_count.h"

namespace polymath::commands::load {
namespace {

std::string body(const char* backend, PromptForm form, const Prompt& prompt, const AskOptions& options) {
  return base::to_text(find_dialect(backend)->body({options, form, prompt, 16}));
}

TEST(Dialect, Bodies) {
  const AskOptions full{.model = "m", .temperature = 0.5, .top_p = 0.9, .top_k = 7};
  const AskOptions bare{.ignore_eos = false, .return_token_ids = false};
  EXPECT_EQ(body("openai", PromptForm::kIds, {.ids = {1, 2}}, full),
            R"({"model":"m","max_tokens":16,"stream":true,"stream_options":{"include_usage":true,)"
            R"("continuous_usage_stats":true},"temperature":5E-1,"top_p":9E-1,"top_k":7,"ignore_eos":true,)"
            R"("return_token_ids":true,"prompt":[1,2]})");
  EXPECT_EQ(body("vllm", PromptForm::kText, {.text = "hi"}, bare),
            R"({"max_tokens":16,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},)"
            R"("prompt":"hi"})");
  EXPECT_EQ(body("openai-chat", PromptForm::kMessages, {.messages = {{"system", "a"}, {"user", "b\n"}}}, bare),
            R"({"max_tokens":16,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},)"
            R"("messages":[{"role":"system","content":"a"},{"role":"user","content":"b\n"}]})");
  for (const char* backend : {"tgi", "tgi-generate"}) {
    EXPECT_EQ(body(backend, PromptForm::kText, {.text = "hi"}, full),
              R"({"inputs":"hi","parameters":{"max_new_tokens":16,"details":true,"temperature":5E-1,"top_p":9E-1,)"
              R"("top_k":7}})");
  }
  // TGI refuses the neutral values.
  EXPECT_EQ(body("tgi", PromptForm::kText, {.text = "hi"}, {.temperature = 0, .top_p = 1, .top_k = 0}),
            R"({"inputs":"hi","parameters":{"max_new_tokens":16,"details":true}})");
  EXPECT_EQ(find_dialect("nothing"), nullptr);
}

struct Step {
  const char* event;
  int tokens;
};

struct Stream {
  const char* name;
  const char* backend;
  std::vector<Step> steps;
  std::array<int64_t, kCountedByKinds> counted;
  int64_t total;
};

std::vector<Stream> streams() {
  return {
      {"ids; the first event has none",
       "openai",
       {{R"({"choices":[{"text":"","prompt_token_ids":[1]}],"usage":{"completion_tokens":0}})", 0},
        {R"({"choices":[{"text":"","token_ids":[5]}],"usage":{"completion_tokens":1}})", 1},
        {R"({"choices":[{"text":"ab","token_ids":[6,7]}],"usage":{"completion_tokens":3}})", 2},
        {R"({"choices":[{"text":"","finish_reason":"length"}],"usage":{"completion_tokens":3}})", 0},
        {R"({"choices":[],"usage":{"completion_tokens":3,"prompt_tokens":9}})", 0}},
       {3, 0, 0},
       3},
      {"chat by usage; a role is no token",
       "openai-chat",
       {{R"({"choices":[{"delta":{"role":"assistant","content":""}}],"usage":{"completion_tokens":0}})", 0},
        {R"({"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":2}})", 2},
        {R"({"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":3}})", 1}},
       {0, 3, 0},
       3},
      {"chat by events; usage at the end is the total",
       "openai-chat",
       {{R"({"choices":[{"delta":{"role":"assistant","content":""}}]})", 0},
        {R"({"choices":[{"delta":{"content":"a"}}],"usage":null})", 1},
        {R"({"choices":[{"delta":{"reasoning_content":"b"}}]})", 1},
        {R"({"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":5}})", 0},
        {R"({"choices":[],"usage":{"completion_tokens":5}})", 0}},
       {0, 0, 2},
       5},
      {"TGI",
       "tgi",
       {{R"({"index":1,"token":{"id":4,"text":"a","special":false},"generated_text":null,"details":null})", 1},
        {R"({"index":2,"token":{"id":0,"text":"","special":true},"generated_text":"a",)"
         R"("details":{"generated_tokens":2,"input_length":7}})",
         1}},
       {2, 0, 0},
       2},
      {"TGI at once",
       "tgi-generate",
       {{R"({"generated_text":"ab","details":{"generated_tokens":2,"tokens":[{"id":1},{"id":2}]}})", 2}},
       {2, 0, 0},
       2},
      {"counts that cannot be",
       "openai",
       {{R"({"choices":[{"text":"a","token_ids":[-1]}],"usage":{"completion_tokens":-5}})", 1},
        {R"({"choices":[{"text":"a","token_ids":"x"}],"usage":{"completion_tokens":1e300}})", 1},
        {R"({"choices":"x","usage":7})", 0},
        {R"([])", 0},
        {R"({"choices":[7]})", 0}},
       {0, 0, 2},
       2},
  };
}

TEST(Dialect, TokensOfEachEvent) {
  for (const Stream& stream : streams()) {
    TokenCount count;
    for (const Step& step : stream.steps) {
      const auto json = base::parse_json(step.event, {});
      ASSERT_TRUE(json.ok()) << step.event;
      const EventFacts facts = find_dialect(stream.backend)->read(*json);
      EXPECT_EQ(count.add(facts), step.tokens) << stream.name << ": " << step.event;
      EXPECT_TRUE(facts.error.empty());
    }
    EXPECT_EQ(count.counted(), stream.counted) << stream.name;
    EXPECT_EQ(count.total(), stream.total) << stream.name;
  }
}

TEST(Dialect, TheEndAndTheUsage) {
  const auto json = base::parse_json(
      R"({"choices":[{"text":"x","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}})", {});
  const EventFacts facts = find_dialect("openai")->read(*json);
  EXPECT_TRUE(facts.ended);
  EXPECT_EQ(facts.prompt_total, 9);
  EXPECT_EQ(facts.output_total, 4);
  EXPECT_EQ(facts.text, "x");
}

TEST(Dialect, Errors) {
  struct Case {
    const char* body;
    const char* text;
  };
  const Case cases[] = {
      {R"({"error":{"message":"too long","type":"x"}})", "too long"},
      {R"({"error":"overloaded","error_type":"y"})", "overloaded"},
      {R"({"object":"error","message":"no model"})", "no model"},
      {R"({"detail":"Not Found"})", R"({"detail":"Not Found"})"},
      {"<html>\nBad Gateway", "<html> Bad Gateway"},
      {"", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(error_text(c.body), c.text);
  EXPECT_EQ(error_text(std::string(5000, 'x')).size(), 300u);
  for (const char* backend : {"openai", "openai-chat", "tgi", "tgi-generate"}) {
    const auto json = base::parse_json(R"({"error":{"message":"broken"}})", {});
    EXPECT_EQ(find_dialect(backend)->read(*json).error, "broken");
  }
}

}  // namespace
}  // namespace polymath::commands::load
