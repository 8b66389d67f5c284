#include "api/prompt.h"

#include <gtest/gtest.h>

#include "api/status.h"
#include "api/test_model.h"

namespace polymath::api {
namespace {

std::vector<int32_t> ids(int n) { return std::vector<int32_t>(static_cast<size_t>(n), 7); }

struct Row {
  const char* what;
  PromptRules rules;
  int n_ids;
  int n_kept, max_tokens;  // n_kept 0: refused
  const char* field;       // of the refusal
};

// The model's context is 100 tokens.
TEST(Prompt, LengthsAndTruncation) {
  const ServedModel model = stand_in_model();
  const Row rows[] = {
      {"what fits", {}, 30, 30, 70, ""},
      {"default", {.max_tokens_default = 16}, 30, 30, 16, ""},
      {"default beyond the room", {.max_tokens_default = 16}, 90, 90, 10, ""},
      {"as asked", {.max_tokens = 70}, 30, 30, 70, ""},
      {"too much", {.max_tokens = 71}, 30, 0, 0, "max_tokens"},
      {"no room", {}, 100, 0, 0, "prompt"},
      {"empty", {}, 0, 0, 0, "prompt"},
      {"keep the last", {.max_tokens = 5, .truncate = 10}, 200, 10, 5, ""},
      {"keep more than there is", {.max_tokens = 5, .truncate = 40}, 30, 30, 5, ""},
      {"keep what fits", {.max_tokens = 5, .truncate = -1}, 200, 95, 5, ""},
      {"own names", {.max_tokens = 71, .max_tokens_field = "max_new_tokens"}, 30, 0, 0, "max_new_tokens"},
      {"own names", {.prompt_field = "inputs"}, 100, 0, 0, "inputs"},
      {"the prompt alone is too long", {.max_tokens = 5}, 100, 0, 0, "prompt"},
      {"clamped", {.max_tokens = 32000, .clamp = true}, 30, 30, 70, ""},
      {"clamped to one", {.max_tokens = 32000, .clamp = true}, 99, 99, 1, ""},
      {"nothing to clamp", {.max_tokens = 7, .clamp = true}, 30, 30, 7, ""},
      {"no room for one", {.max_tokens = 32000, .clamp = true}, 100, 0, 0, "prompt"},
      {"truncated and clamped", {.max_tokens = 32000, .clamp = true, .truncate = -1}, 200, 99, 1, ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    GenerationPlan plan;
    const auto added = add_prompt(model, row.rules, ids(row.n_ids), plan);
    ASSERT_EQ(added.ok(), row.n_kept > 0) << added.status();
    if (!added.ok()) {
      EXPECT_EQ(field_of(added.status()), row.field);
      continue;
    }
    EXPECT_EQ(plan.prompts[0].size(), static_cast<size_t>(row.n_kept));
    EXPECT_EQ(added->cut, static_cast<size_t>(row.n_ids - row.n_kept));
    EXPECT_EQ(plan.max_tokens, std::vector<int>{row.max_tokens});
  }
}

// However long the prompt: one sentence and one code, which clients look for.
TEST(Prompt, EveryOverflowHasTheSameWords) {
  const ServedModel model = stand_in_model();
  const PromptInput prompts[] = {ids(90), ids(100), std::string(150, '%'), std::string(50u << 20, 'x')};
  for (const PromptInput& prompt : prompts) {
    GenerationPlan plan;
    const absl::Status status = add_prompt(model, {.max_tokens = 20}, prompt, plan).status();
    const Failure failure = failure_of(status);
    EXPECT_EQ(failure.http_status, 400);
    EXPECT_EQ(failure.code, "context_length_exceeded") << status;
    EXPECT_EQ(failure.message.find("This model's maximum context length is 100 tokens. However, "), 0u) << status;
    EXPECT_NE(failure.field, "");
  }
  EXPECT_EQ(field_of(encode_prompt({}, "x", {.field = "inputs"}).status()), "inputs") << "no tokenizer";
}

TEST(Prompt, OffsetsAreOfTheIdsThatAreKept) {
  const ServedModel model = stand_in_model();
  const auto ends = [&](PromptRules rules, PromptInput prompt) {
    rules.with_offsets = true;
    GenerationPlan plan;
    const auto added = add_prompt(model, rules, std::move(prompt), plan);
    EXPECT_TRUE(added.ok()) << added.status();
    std::vector<size_t> out;
    for (size_t i = 0; i < added->tokens.size(); ++i) {
      EXPECT_EQ(added->tokens[i].id, plan.prompts[0][i]);
      out.push_back(added->tokens[i].end);
    }
    return out;
  };
  using Ends = std::vector<size_t>;
  EXPECT_EQ(ends({}, std::string("%%%%")), (Ends{1, 2, 3, 4}));
  EXPECT_EQ(ends({.truncate = 3}, std::string("%%%%")), (Ends{2, 3, 4}));
  EXPECT_EQ(ends({.truncate = 3, .keep_first = true}, std::string("%%%%")), (Ends{1, 2, 3}));
  EXPECT_EQ(ends({}, ids(3)), Ends{}) << "ids have no text";
}

TEST(Prompt, WorkEndsWhenTheClientHasGone) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "word ";
  GenerationPlan plan;
  int asked = 0;
  PromptRules rules{.max_tokens = 5, .truncate = 10};
  rules.stopped = [&asked] { return ++asked > 3; };
  EXPECT_EQ(add_prompt(stand_in_model(), rules, text, plan).status().code(), absl::StatusCode::kCancelled);
  EXPECT_GT(asked, 3);
  EXPECT_LT(asked, 10) << "the rest of the text is not encoded";
}

TEST(Prompt, ATruncatedTextMayBeOfAnyLength) {
  GenerationPlan plan;
  const std::string text(5000, 'x');
  EXPECT_TRUE(add_prompt(stand_in_model(), {.max_tokens = 5, .truncate = 10}, text, plan).ok());
}

TEST(Prompt, MinTokensMustFit) {
  const ServedModel model = stand_in_model();
  GenerationPlan plan;
  plan.sampling.min_tokens = 6;
  EXPECT_EQ(field_of(add_prompt(model, {.max_tokens = 5}, ids(3), plan).status()), "min_tokens");
  EXPECT_TRUE(add_prompt(model, {.max_tokens = 6}, ids(3), plan).ok());
}

}  // namespace
}  // namespace polymath::api
