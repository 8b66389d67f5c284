#include "api/request/infill.h"

#include <gtest/gtest.h>

#include "api/test_model.h"

namespace polymath::api {
namespace {

// A tokenizer of byte tokens and these added ones.
std::unique_ptr<text::Tokenizer> with_tokens(const std::vector<std::string>& added) {
  base::JsonObject vocab;
  for (int byte = 33; byte < 127; ++byte) vocab[std::string(1, static_cast<char>(byte))] = byte - 33;
  base::JsonArray tokens;
  for (const std::string& text : added) {
    tokens.push_back({{"id", 94 + tokens.size()}, {"content", text}, {"special", true}});
  }
  const base::JsonObject json{{"added_tokens", tokens},
                              {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", base::JsonArray{}}}}};
  auto tokenizer = text::parse_tokenizer_json(base::to_text(json), "", {});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(Infill, TheFamilyWhoseTokensAreAllThere) {
  const struct {
    std::vector<std::string> added;
    std::string prompt;  // empty: no infilling
  } rows[] = {
      {{}, ""},
      {{"<fim_prefix>", "<fim_suffix>"}, ""},
      {{"<fim_suffix>", "<fim_middle>", "<fim_prefix>"}, "<fim_prefix>ab<fim_suffix>cd<fim_middle>"},
      {{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"}, "<｜fim▁begin｜>ab<｜fim▁hole｜>cd<｜fim▁end｜>"},
      {{"[PREFIX]", "[SUFFIX]"}, "[SUFFIX]cd[PREFIX]ab"},
      {{"[PREFIX]"}, ""},
  };
  for (const auto& row : rows) {
    const auto tokenizer = with_tokens(row.added);
    const auto infill = find_infill(*tokenizer);
    ASSERT_EQ(infill.has_value(), !row.prompt.empty()) << row.prompt;
    if (infill.has_value()) {
      EXPECT_EQ(infill_prompt(*infill, "ab", "cd"), row.prompt);
    }
  }
}

TEST(Infill, TheMarksBecomeTheirIds) {
  const auto tokenizer = with_tokens({"<fim_prefix>", "<fim_suffix>", "<fim_middle>"});
  const auto ids = tokenizer->encode(infill_prompt(*find_infill(*tokenizer), "a", "b"), false);
  EXPECT_EQ(ids, (std::vector<int32_t>{94, 'a' - 33, 95, 'b' - 33, 96}));
}

}  // namespace
}  // namespace polymath::api
