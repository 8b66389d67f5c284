// Which files of a directory are read, and what the older ones beside tokenizer.json add.

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LoadTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(root_ + "/" + name, std::ios::binary) << text;
  }
  std::unique_ptr<Tokenizer> load() {
    auto tokenizer = load_tokenizer(root_, {});
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
  }
  std::string error() { return std::string(load_tokenizer(root_, {}).status().message()); }

  const std::string root_ = ::testing::TempDir() + "/polymath_load_tokenizer_test";
};

// Characters "a", "b", "<", ">" and the special token "</s>".
constexpr const char* kLetters = R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "<": 2, ">": 3}, "merges": []},
    "added_tokens": [{"id": 4, "content": "</s>", "special": true}], "decoder": {"type": "Fuse"}})";

TEST_F(LoadTokenizerTest, AddedTokensJsonIsRead) {
  write("tokenizer.json", kLetters);
  write("added_tokens.json", R"({"</a>": 6, "<a>": 5})");
  const auto tokenizer = load();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(tokenizer->encode("b<a>a</a>", false), ElementsAre(1, 5, 0, 6));
  EXPECT_EQ(tokenizer->vocab_size(), 7u);
  EXPECT_FALSE(tokenizer->is_special(5));
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{5, 0, 4}, true), "<a>a");
}

TEST_F(LoadTokenizerTest, AnAddedTokenThatTheConfigNamesIsSpecial) {
  write("tokenizer.json", kLetters);
  write("added_tokens.json", R"({"<a>": 5, "<b>": 6})");
  write("tokenizer_config.json", R"({"eos_token": "<a>"})");
  write("special_tokens_map.json", R"({"additional_special_tokens": ["<b>"]})");
  const auto tokenizer = load();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_TRUE(tokenizer->is_special(5));
  EXPECT_TRUE(tokenizer->is_special(6));
  EXPECT_EQ(tokenizer->eos_id(), 5);
}

TEST_F(LoadTokenizerTest, AddedTokensJsonStandsBehindOtherFiles) {
  write("tokenizer.json", kLetters);
  write("added_tokens.json", R"({"</s>": 7, "a": 8})");  // both have an id
  auto tokenizer = load();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(tokenizer->encode("a</s>", false), ElementsAre(0, 4));
  EXPECT_TRUE(tokenizer->is_special(4));

  write("added_tokens.json", R"({"<a>": 9})");
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"5": {"content": "<a>"}}})");
  tokenizer = load();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(tokenizer->encode("<a>", false), ElementsAre(5));
}

TEST_F(LoadTokenizerTest, TheSpecialTokensMapWinsWhereTheConfigListsNoTokens) {
  write("tokenizer.json", kLetters);
  write("special_tokens_map.json", R"({"eos_token": {"content": "b", "lstrip": false}})");
  write("tokenizer_config.json", R"({"eos_token": "a"})");
  EXPECT_EQ(load()->eos_id(), 1);
  write("tokenizer_config.json", R"({"eos_token": "a", "added_tokens_decoder": {}})");
  EXPECT_EQ(load()->eos_id(), 0);
}

TEST_F(LoadTokenizerTest, BadOlderFilesAreRefusedByName) {
  write("tokenizer.json", kLetters);
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "added_tokens.json: must be an object"},
           {"{", "added_tokens.json: invalid JSON"},
           {R"({"<a>": "5"})", R"(added_tokens.json: "<a>": must be a token id)"},
           {R"({"<a>": -5})", "must be a token id"},
           {R"({"<a>": 99999999999})", "must be a token id"},
           {R"({"<a>": 2147483647})", "is outside of"},
           {R"({"<a>": 4})", "added_tokens.json: id 4: stands for both"},
       }) {
    write("added_tokens.json", text);
    EXPECT_THAT(error(), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace polymath::text
