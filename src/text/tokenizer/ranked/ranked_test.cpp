// tiktoken's files and tekken.json: ids and texts of their own libraries, and files that are none.

#include <chrono>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kKinds[] = {"kimi", "hunyuan", "o200k", "llama3", "tekken_v3", "tekken_v13"};

std::unique_ptr<Tokenizer> load_ranked(const std::string& kind) {
  auto tokenizer = load_tokenizer(data_path("ranked/" + kind), {});
  EXPECT_TRUE(tokenizer.ok()) << kind << ": " << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

class RankedCases : public ::testing::TestWithParam<const char*> {};

TEST_P(RankedCases, AgreeWithTheirOwnLibrary) {
  const auto tokenizer = load_ranked(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const auto json = base::parse_json(read_data(absl::StrCat("ranked/", GetParam(), "/cases.json")), {});
  ASSERT_TRUE(json.ok()) << json.status();
  base::JsonReader root(*json);
  const std::vector<TokenId> before = root.ints("before");
  const auto& rows = root.find("cases")->get_array();
  ASSERT_GT(rows.size(), 60u);
  for (const auto& node : rows) {
    base::JsonReader row(node);
    const std::string text = row.s("text");
    std::vector<TokenId> ids = row.ints("ids");
    EXPECT_EQ(tokenizer->encode(text, false), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids, true), row.s("decoded", text)) << text;
    EXPECT_EQ(tokenizer->decode(ids, false), row.s("kept", text)) << text;
    ids.insert(ids.begin(), before.begin(), before.end());
    EXPECT_EQ(tokenizer->encode(text, true), ids) << text;
  }
}
INSTANTIATE_TEST_SUITE_P(All, RankedCases, ::testing::ValuesIn(kKinds));

TEST(RankedTokens, NamedOnesHaveTheirIds) {
  struct Row {
    const char* kind;
    std::optional<TokenId> bos, eos;
    size_t vocab;
  };
  const TokenId base = 256 + 230;
  for (const Row& row : {Row{"kimi", base, base + 1, base + 256u}, Row{"hunyuan", std::nullopt, base + 3, base + 210u},
                         Row{"o200k", std::nullopt, base, base + 1u}, Row{"llama3", base, base + 1, base + 5u},
                         Row{"tekken_v3", 1, 2, base + 24u}, Row{"tekken_v13", 1, 2, base + 16 - 100u}}) {
    const auto tokenizer = load_ranked(row.kind);
    ASSERT_NE(tokenizer, nullptr);
    EXPECT_EQ(tokenizer->bos_id(), row.bos) << row.kind;
    EXPECT_EQ(tokenizer->eos_id(), row.eos) << row.kind;
    EXPECT_EQ(tokenizer->vocab_size(), row.vocab) << row.kind;
  }
}

// "token rank" lines of the letters, each with its place as rank.
std::string tiktoken_file(const std::vector<std::string>& tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) absl::StrAppend(&text, absl::Base64Escape(tokens[i]), " ", i, "\n");
  return text;
}

TEST(Tiktoken, ATokenThatIsAWordIsTakenWhole) {
  // No merge leads to "abc": neither "ab" nor "bc" is a token.
  const std::string file = tiktoken_file({"a", "b", "c", "abc"});
  const auto tokenizer = parse_tiktoken({"tiktoken.model", file}, "", {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->encode("abc", false), ElementsAre(3));
  EXPECT_THAT((*tokenizer)->encode("abca", false), ElementsAre(0, 1, 2, 0));
}

TEST(Tiktoken, AddedTokensOfTheConfigComeFirst) {
  const std::string file = tiktoken_file({"a", "b", "<", ">", "<a>"});
  const std::string config = R"({"tokenizer_class": "HYTokenizer", "eos_token": "<|eos|>", "added_tokens_decoder": {
      "5": {"content": "<a>", "special": true}, "9": {"content": "<|eos|>"}, "300": {"content": "<b>"}}})";
  const auto tokenizer = parse_tiktoken({"hy.tiktoken", file}, config, {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->encode("<a><|eos|><|startoftext|><b>", false), ElementsAre(5, 9, 6, 300));
  EXPECT_EQ((*tokenizer)->decode(std::vector<TokenId>{4, 5}, false), "<a><a>");  // both spell it
  EXPECT_EQ((*tokenizer)->decode(std::vector<TokenId>{4, 5}, true), "<a>");
  EXPECT_EQ((*tokenizer)->eos_id(), 9);
  EXPECT_EQ((*tokenizer)->token_text(299), "<|reserved_token_299|>");
}

TEST(Tiktoken, KimiCutsLongTexts) {
  const std::string file = tiktoken_file({"a", "b", "aa", " ", "  ", " a"});
  const auto tail = [&](const char* name, const std::string& text, size_t n) {
    const auto tokenizer = parse_tiktoken({name, file}, "", {});
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    const std::vector<TokenId> ids = (*tokenizer)->encode(text, false);
    return std::vector<TokenId>(ids.end() - static_cast<ptrdiff_t>(n), ids.end());
  };
  const std::string letters = "b" + std::string(25'001, 'a');  // cut behind 25,000 characters
  EXPECT_THAT(tail("tiktoken.model", letters, 2), ElementsAre(0, 2));
  EXPECT_THAT(tail("tokenizer.model", letters, 2), ElementsAre(2, 0));
  EXPECT_THAT(tail("tiktoken.model", "b " + letters.substr(2), 2), ElementsAre(2, 2)) << "the blank ends the run";
  std::string words = "a";
  while (words.size() < 400'001) words += " a";  // cut behind 400,000 characters, between blank and letter
  EXPECT_THAT(tail("tiktoken.model", words, 3), ElementsAre(5, 3, 0));
  EXPECT_THAT(tail("tokenizer.model", words, 3), ElementsAre(5, 5, 5));
}

TEST(Tiktoken, TheFamilyComesFromTheClassOrTheFile) {
  struct Row {
    const char* file;
    const char* config;
    const char* message;  // null: it is read
  };
  const std::string text = tiktoken_file({"a", "b"});
  for (const Row& row : {
           Row{"tiktoken.model", "", nullptr},
           Row{"other.tiktoken", R"({"tokenizer_class": "QWenTokenizer"})", nullptr},
           Row{"other.tiktoken", R"({"auto_map": {"AutoTokenizer": ["tokenization_hy.HYTokenizer", null]}})", nullptr},
           Row{"other.tiktoken", R"({"auto_map": {"AutoTokenizer": "HYTokenizer"}})", nullptr},
           Row{"qwen.tiktoken", R"({"tokenizer_class": "PreTrainedTokenizerFast"})", nullptr},
           Row{"other.tiktoken", "", "other.tiktoken: the pattern that cuts words is not known"},
           Row{"other.tiktoken", R"({"auto_map": {"AutoTokenizer": []}})", "is not known"},
           Row{"tiktoken.model", R"({"tokenizer_class": "ChatGLM4Tokenizer"})",
               "tokenizer_class \"ChatGLM4Tokenizer\""},
       }) {
    const auto tokenizer = parse_tiktoken({row.file, text}, row.config, {});
    EXPECT_EQ(tokenizer.ok(), row.message == nullptr) << row.file << row.config << tokenizer.status();
    const char* message = row.message == nullptr ? "" : row.message;
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(message));
  }
}

TEST(Tiktoken, BadFilesAreRefused) {
  struct Row {
    std::string text;
    const char* message;
  };
  for (const Row& row : std::vector<Row>{
           {"\n\r\n", "tiktoken.model: has no tokens"},
           {"YQ==", "line 1: must be a token in base64, a blank and its rank"},
           {"YQ== 0\n\nYg== x\n", "line 3: the rank must be a number"},
           {"YQ== -1\n", "the rank must be a number"},
           {"YQ== 99999999999\n", "the rank must be a number"},
           {"YQ== 0 1\n", "the rank must be a number"},
           {"Y* 0\n", "the token must be base64"},
           {" 0\n", "line 1: must be a token"},
           {"== 0\n", "the token must be base64"},
           {"YQ== 0\nYQ== 1\n", "has both id 0 and id 1"},
           {"YQ== 0\nYg== 0\n", "id 0: stands for both"},
           {"YQ== 4194304\n", "is outside of"},
           {std::string(200'000, 'A') + " 0\n", "the token is too long"},
           {"version https://example.com/spec/v1\n", "line 1:"},
       }) {
    const auto tokenizer = parse_tiktoken({"tiktoken.model", row.text}, "", {});
    ASSERT_FALSE(tokenizer.ok()) << row.text;
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(row.message));
  }
  const std::string file = tiktoken_file({"a", "b", "c"});
  EXPECT_FALSE(parse_tiktoken({"tiktoken.model", file}, "", {.vocab_max = 2}).ok());
  const auto far =
      parse_tiktoken({"tiktoken.model", file}, R"({"added_tokens_decoder": {"2147483647": {"content": "x"}}})", {});
  EXPECT_THAT(std::string(far.status().message()), HasSubstr("tokenizer_config.json: added_tokens_decoder: id"));
}

// Windows' line ends and blanks behind the rank, as Python's split() takes them.
TEST(Tiktoken, LinesMayEndAsTheyLike) {
  const auto tokenizer = parse_tiktoken({"tiktoken.model", "YQ==  0\r\n\r\nYg==\t1 \r\nYWI= 2"}, "", {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->encode("aba", false), ElementsAre(2, 0));
}

TEST(Tiktoken, LongWordsAndRunsTakeLittleTime) {
  const auto tokenizer = load_ranked("kimi");
  ASSERT_NE(tokenizer, nullptr);
  const auto start = std::chrono::steady_clock::now();
  for (const char* unit : {"a", " ", "\n", "'s", "专", "ह", "A", "é", "!"}) {
    std::string text;
    while (text.size() < 1u << 20) text += unit;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), text) << unit;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

// A file of "a", "aa", ... has a merge for each cut of each token.
TEST(Tiktoken, TheNumberOfMergesIsBounded) {
  std::vector<std::string> tokens;
  for (size_t i = 1; i <= 3000; ++i) tokens.emplace_back(i, 'a');
  const std::string file = tiktoken_file(tokens);
  const auto tokenizer = parse_tiktoken({"tiktoken.model", file}, "", {});
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("ways to cut tokens in two"));
}

// Bytes "a", "b" and "ab", with `config` and `more` members.
std::string tekken_file(const std::string& config, const std::string& more = "") {
  return absl::StrCat(R"({"config": {"pattern": "\\p{L}+|\\P{L}", "version": "v3")", config, "}", more,
                      R"(, "vocab": [{"rank": 0, "token_bytes": "YQ==", "token_str": "a"},
                                     {"rank": 1, "token_bytes": "Yg==", "token_str": "b"},
                                     {"rank": 2, "token_bytes": "YWI=", "token_str": "ab"}]})");
}

TEST(Tekken, OldFilesHaveTheOldSpecialTokens) {
  const std::string file = tekken_file("");
  const auto tokenizer = parse_tekken({"tekken.json", file}, "", {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->encode("[INST]aab[/INST]", true), ElementsAre(1, 3, 20, 22, 4));
  EXPECT_EQ((*tokenizer)->token_text(19), "[TOOL_CONTENT]");
  EXPECT_EQ((*tokenizer)->vocab_size(), 23u);
}

TEST(Tekken, TheConfigNamesItsOwnEnds) {
  const std::string file = tekken_file(R"(, "default_num_special_tokens": 22, "default_vocab_size": 24)");
  const auto tokenizer = parse_tekken({"tekken.json", file}, R"({"eos_token": "[/INST]"})", {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->eos_id(), 4);
  EXPECT_THAT((*tokenizer)->encode("ab<SPECIAL_21>", false), ElementsAre(22, 23, 21));  // "ab" is beyond the size
}

TEST(Tekken, BadFilesAreRefused) {
  struct Row {
    std::string text;
    const char* message;
  };
  const std::string special = R"(, "special_tokens": [{"rank": 0, "token_str": "<s>"}, )";
  for (const Row& row : std::vector<Row>{
           {"{", "tekken.json: invalid JSON"},
           {"[]", "must be an object"},
           {"{}", "config.version: missing"},
           {R"({"config": []})", "config: must be an object"},
           {R"({"config": {"version": "3"}})", "must be v and a number"},
           {R"({"config": {"version": "v"}})", "must be v and a number"},
           {R"({"config": {"version": "v3"}})", "vocab: must be an array"},
           {R"({"config": {"version": "v3"}, "vocab": []})", "config.pattern: missing"},
           {R"({"config": {"version": "v3", "pattern": "a"}, "vocab": []})", "leaves 0 tokens"},
           {R"({"config": {"version": "v11", "pattern": "a"}, "vocab": [1]})",
            "special_tokens: missing, which v11 needs"},
           {R"({"config": {"version": "v3", "pattern": "a"}, "vocab": [1]})", "vocab[0]: must be an object"},
           {R"({"config": {"version": "v3", "pattern": "a"}, "vocab": [{}]})", "vocab[0].token_bytes: missing"},
           {R"({"config": {"version": "v3", "pattern": "a"}, "vocab": [{"token_bytes": "!"}]})", "must be base64"},
           {R"({"config": {"version": "v3", "pattern": "a"}, "vocab": [{"token_bytes": ""}]})", "has no bytes"},
           {R"({"config": {"version": "v3", "pattern": "("}, "vocab": [{"token_bytes": "YQ=="}]})",
            "regular expression"},
           {R"({"config": {"version": "v3", "pattern": "a"}, "vocab": [{"rank": 1, "token_bytes": "YQ=="}]})",
            "vocab[0].rank: must be 0, its place"},
           {tekken_file(R"(, "default_vocab_size": 24)"), "leaves 4 tokens; the file has 3"},
           {tekken_file(R"(, "default_num_special_tokens": 19)"), "19 must be 20 .. "},
           {tekken_file(R"(, "default_num_special_tokens": 999999999)"), "999999999 must be 20 .. "},
           {tekken_file("", special + R"({"rank": 2, "token_str": "x"}])"), "special_tokens[1].rank: must be below 2"},
           {tekken_file("", special + R"({"rank": 0, "token_str": "x"}])"), "id 0: stands for both"},
           {tekken_file("", special + R"({"rank": 1, "token_str": "<s>"}])"), "\"<s>\" is there twice"},
           {tekken_file("", special + R"({"rank": 1}])"), "special_tokens[1].token_str: missing"},
           {tekken_file("", R"(, "special_tokens": 1)"), "special_tokens: must be an array"},
       }) {
    const auto tokenizer = parse_tekken({"tekken.json", row.text}, "", {});
    ASSERT_FALSE(tokenizer.ok()) << row.text;
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(row.message));
  }
}

TEST(Tekken, EveryTruncationIsRefused) {
  const std::string json = read_data("ranked/tekken_v13/tekken.json");
  for (size_t size = 0; size + 2 < json.size(); size += 1 + json.size() / 50) {
    EXPECT_FALSE(parse_tekken({"tekken.json", json.substr(0, size)}, "", {}).ok()) << size;
  }
}

}  // namespace
}  // namespace polymath::text
