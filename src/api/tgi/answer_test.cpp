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

  base::JsonObject json() { return tgi_answer(answer, model, {choice}); }
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

TEST(TgiAnswer, TheOthersOfBestOfFollow) {
  Fixture f;
  f.answer.options = {.details = true, .prefill = true, .full_text = true, .sampled = true};
  CollectedChoice best = f.choice, other = f.choice;
  best.end.choice = 1;
  other.text = " dog";
  other.prompt_tokens = {token(6, -1.5f)};  // of the first choice, as the engine gives them
  const base::JsonObject json = tgi_answer(f.answer, f.model, {best, other});
  EXPECT_EQ(json.at("generated_text"), "the cat");
  const base::JsonObject& details = json.at("details").as_object();
  EXPECT_EQ(details.at("seed"), 43);
  EXPECT_EQ(details.at("prefill").as_array().size(), 2u);
  const base::JsonArray& others = details.at("best_of_sequences").as_array();
  ASSERT_EQ(others.size(), 1u);
  EXPECT_EQ(others[0].at("generated_text"), "the dog");
  EXPECT_EQ(others[0].at("seed"), 42);
  EXPECT_EQ(others[0].at("prefill"), details.at("prefill"));
  EXPECT_EQ(others[0].at("tokens").as_array().size(), 2u);
}

TEST(TgiEvent, TheLastTellsTheEnd) {
  Fixture f;
  f.answer.options = {.details = true, .top_tokens = true, .sampled = true};
  text::TokenTexts texts = tgi_token_texts(f.answer, f.model);
  const TokenInfo first = token(7, -0.5f, {{.id = 7, .logprob = -0.5f}});
  const base::JsonObject event = tgi_event(f.answer, f.model, texts, {1, first});
  EXPECT_EQ(event.at("index"), 1);
  EXPECT_EQ(event.at("token").at("id"), 7);
  EXPECT_EQ(event.at("top_tokens").as_array().size(), 1u);
  EXPECT_TRUE(event.at("generated_text").is_null() && event.at("details").is_null());
  const ChoiceEnd end{.reason = "length"};
  const TokenInfo second = token(2, -0.25f);
  const TgiStreamEnd answer{end, " cat"};
  const base::JsonObject last = tgi_event(f.answer, f.model, texts, {2, second, &answer});
  EXPECT_EQ(last.at("generated_text"), " cat");
  EXPECT_EQ(base::to_text(last.at("details")),
            R"({"finish_reason":"length","generated_tokens":2,"seed":42,"input_length":2})");
  f.answer.options.details = false;
  EXPECT_TRUE(tgi_event(f.answer, f.model, texts, {3, first, &answer}).at("details").is_null());
}

}  // namespace
}  // namespace polymath::api
