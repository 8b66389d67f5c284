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
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    GenerationPlan plan;
    const auto cut = add_prompt(model, row.rules, ids(row.n_ids), plan);
    ASSERT_EQ(cut.ok(), row.n_kept > 0) << cut.status();
    if (!cut.ok()) {
      EXPECT_EQ(field_of(cut.status()), row.field);
      continue;
    }
    EXPECT_EQ(plan.prompts[0].size(), static_cast<size_t>(row.n_kept));
    EXPECT_EQ(*cut, static_cast<size_t>(row.n_ids - row.n_kept));
    EXPECT_EQ(plan.max_tokens, std::vector<int>{row.max_tokens});
  }
}

TEST(Prompt, TextThatCannotFitIsRefusedBeforeItIsTokenized) {
  const ServedModel model = stand_in_model();
  const std::string text(100 * model.token_bytes_max + model.token_bytes_max, 'x');
  EXPECT_EQ(field_of(encode_prompt(model, text, true, 100).status()), "prompt");
  EXPECT_TRUE(encode_prompt(model, text, true, 0).ok());
  EXPECT_EQ(field_of(encode_prompt({}, "x", true, 0, "inputs").status()), "inputs") << "no tokenizer";
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
