#include "api/request/best_of.h"

#include <gtest/gtest.h>

namespace polymath::api {
namespace {

CollectedChoice choice(const char* text, std::vector<float> logprobs) {
  CollectedChoice out{.text = text};
  for (const float logprob : logprobs) out.tokens.push_back({.chosen = {.logprob = logprob}});
  return out;
}

TEST(KeepBest, ByTheSumOfLogprobsWithinEachPrompt) {
  std::vector<CollectedChoice> choices = {choice("a", {-1, -1}), choice("b", {-1}), choice("c", {-5}),
                                          choice("d", {-9}),     choice("e", {-2}), choice("f", {-2})};
  choices[0].prompt_tokens.resize(4);
  choices[3].prompt_tokens.resize(5);
  const auto kept = keep_best(choices, 3, 2);
  std::string texts;
  for (const CollectedChoice& c : kept) texts += c.text;
  EXPECT_EQ(texts, "baef");  // of equals the earlier
  EXPECT_EQ(kept[0].prompt_tokens.size(), 4u);
  EXPECT_EQ(kept[2].prompt_tokens.size(), 5u);
  EXPECT_EQ(keep_best(choices, 3, 3)[2].text, "c");
}

TEST(PutBestFirst, ByTheMeanOfLogprobsTheOthersInTheirOrder) {
  std::vector<CollectedChoice> choices = {choice("a", {-1, -1, -1}), choice("b", {-2}), choice("c", {-0.5f, -1}),
                                          choice("d", {-0.75f})};
  put_best_first(choices);
  std::string texts;
  for (const CollectedChoice& c : choices) texts += c.text;
  EXPECT_EQ(texts, "cabd");
}

}  // namespace
}  // namespace polymath::api
