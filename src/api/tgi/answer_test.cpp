#include "api/tgi/answer.h"

#include <gtest/gtest.h>

#include "api/test_model.h"

namespace polymath::api {
namespace {

TokenInfo token(int32_t id, float logprob, std::vector<engine::TokenLogprob> top = {}) {
  return {.id = id, .chosen = {.id = id, .logprob = logprob}, .top = std::move(top)};
}

struct Fixture {
  ServedModel model = stand_in_model();
  TgiAnswer answer{.inputs = "the", .prompt = {5, 6}, .seed = 42};
  CollectedChoice choice{.text = " cat", .tokens = {token(7, -0.5f), token(2, -0.25f)}, .end = {.reason = "stop"}};

  base::JsonObject json() { return tgi_answer(answer, model, choice); }
};

TEST(TgiAnswer, TextAloneOrBehindTheInputs) {
  Fixture f;
  EXPECT_EQ(base::to_text(f.json()), R"({"generated_text":" cat"})");
  f.answer.options.full_text = true;
  EXPECT_EQ(base::to_text(f.json()), R"({"generated_text":"the cat"})");
}

TEST(TgiAnswer, FinishReasons) {
  const struct {
    ChoiceEnd end;
    const char* reason;
  } rows[] = {
      {{.reason = "length"}, "length"},
      {{.reason = "stop"}, "eos_token"},
      {{.reason = "stop", .stop_string = "x"}, "stop_sequence"},
  };
  for (const auto& row : rows) {
    Fixture f;
    f.answer.options.details = true;
    f.choice.end = row.end;
    EXPECT_EQ(f.json().at("details").at("finish_reason"), row.reason);
  }
}

TEST(TgiAnswer, Details) {
  Fixture f;
  f.answer.options = {.details = true, .prefill = true, .top_tokens = true, .sampled = true};
  f.choice.prompt_tokens = {token(6, -1.5f)};
  f.choice.tokens[0].top = {{.id = 7, .logprob = -0.5f}, {.id = 8, .logprob = -2.0f}};
  const base::JsonObject json = f.json();
  const base::JsonObject& details = json.at("details").as_object();
  EXPECT_EQ(details.at("generated_tokens"), 2);
  EXPECT_EQ(details.at("seed"), 42);
  EXPECT_EQ(details.at("prefill").as_array().size(), 2u);
  EXPECT_TRUE(details.at("prefill").at(0).at("logprob").is_null());
  EXPECT_EQ(details.at("prefill").at(1).at("logprob"), -1.5);
  EXPECT_EQ(details.at("tokens").at(0).at("id"), 7);
  EXPECT_EQ(details.at("tokens").at(0).at("special"), false);
  EXPECT_EQ(details.at("tokens").at(1).at("special"), true) << "eos";
  EXPECT_EQ(details.at("top_tokens").at(0).as_array().size(), 2u);
  EXPECT_EQ(details.at("top_tokens").at(1).as_array().size(), 0u);
}

TEST(TgiAnswer, GreedyHasNoSeedAndNoPrefillUnlessAsked) {
  Fixture f;
  f.answer.options.details = true;
  const base::JsonObject json = f.json();
  EXPECT_TRUE(json.at("details").at("seed").is_null());
  EXPECT_TRUE(json.at("details").at("prefill").as_array().empty());
  EXPECT_FALSE(json.at("details").as_object().contains("top_tokens"));
}

}  // namespace
}  // namespace polymath::api
