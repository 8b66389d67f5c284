#include "text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace polymath::text {
namespace {

using ::testing::HasSubstr;

const std::string kData = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/tokenizers/";

std::string merge_of(const base::JsonValue& pair) {
  if (pair.is_string()) return std::string(pair.get_string());
  return std::string(pair.at(0).get_string()) + " " + std::string(pair.at(1).get_string());
}

// A published tokenizer.json, rewritten as a converter to GGUF does.
base::JsonObject metadata_of(const base::JsonObject& json, const char* pre) {
  const base::JsonObject& vocab = json.at("model").at("vocab").get_object();
  std::map<int64_t, std::pair<std::string, int>> tokens;  // text and type
  for (const auto& entry : vocab) tokens[entry.value().get_int64()] = {std::string(entry.key()), 1};
  for (const auto& added : json.at("added_tokens").get_array()) {
    tokens[added.at("id").get_int64()] = {std::string(added.at("content").get_string()),
                                          added.at("special").get_bool() ? 3 : 4};
  }
  base::JsonArray list, kinds, merges;
  for (const auto& [id, token] : tokens) {
    EXPECT_EQ(id, static_cast<int64_t>(list.size()));
    list.push_back(base::JsonValue(token.first));
    kinds.push_back(token.second);
  }
  for (const auto& pair : json.at("model").at("merges").get_array()) merges.push_back(base::JsonValue(merge_of(pair)));
  return {{"tokenizer.ggml.model", "gpt2"},        {"tokenizer.ggml.pre", pre},
          {"tokenizer.ggml.tokens", list},         {"tokenizer.ggml.token_type", kinds},
          {"tokenizer.ggml.merges", merges},       {"tokenizer.ggml.bos_token_id", 1},
          {"tokenizer.ggml.eos_token_id", 2},      {"tokenizer.ggml.add_bos_token", false},
          {"tokenizer.chat_template", "{{ bos }}"}};
}

base::JsonObject published(const std::string& name) {
  const auto json = base::read_json_file(kData + name + "/tokenizer.json", {});
  EXPECT_TRUE(json.ok()) << json.status();
  return json->get_object();
}

base::JsonObject qwen2() { return metadata_of(published("qwen2"), "qwen2"); }

void expect_cases(const Tokenizer& tokenizer, const std::string& name) {
  const auto cases = base::read_json_file(kData + name + "/cases.json", {});
  ASSERT_TRUE(cases.ok()) << cases.status();
  ASSERT_GT(cases->get_array().size(), 10u);
  for (const base::JsonValue& c : cases->get_array()) {
    const std::string text(c.at("text").get_string());
    std::vector<TokenId> ids;
    for (const auto& id : c.at("ids").get_array()) ids.push_back(static_cast<TokenId>(id.get_int64()));
    EXPECT_EQ(tokenizer.encode(text, true), ids) << name << ": " << text;
    EXPECT_EQ(tokenizer.decode(ids, false), std::string(c.at("decoded_keep_special").get_string())) << name;
  }
}

TEST(GgufTokenizer, EncodesAsTheTokenizerThatItCameFrom) {
  const auto tokenizer = load_gguf_tokenizer(qwen2(), {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 1500u);
  EXPECT_EQ((*tokenizer)->bos_id(), 1);
  EXPECT_EQ((*tokenizer)->eos_id(), 2);
  EXPECT_TRUE((*tokenizer)->is_special(1));
  expect_cases(**tokenizer, "qwen2");
}

// The pre-tokenizers whose tokenizer.json is here.
TEST(GgufTokenizer, CutsTextAsThePublishedOnesDo) {
  const std::pair<const char*, const char*> kinds[] = {
      {"gpt2", "gpt-2"}, {"deepseek-v3", "deepseek-v3"}, {"gpt-oss", "gpt-4o"}, {"llama3", "llama-bpe"}};
  for (const auto& [name, pre] : kinds) {
    base::JsonObject metadata = metadata_of(published(name), pre);
    metadata.erase("tokenizer.ggml.add_bos_token");  // llama-bpe implies it
    metadata["tokenizer.ggml.bos_token_id"] = 0;
    const auto tokenizer = load_gguf_tokenizer(metadata, {});
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status();
    expect_cases(**tokenizer, name);
  }
}

// SentencePiece's BPE out of scores: a merge's rank, negative.
TEST(GgufTokenizer, ReadsPiecesAndScores) {
  const base::JsonObject json = published("mixtral");
  base::JsonObject metadata = metadata_of(json, "default");
  metadata["tokenizer.ggml.model"] = "llama";
  std::map<std::string, double> ranks;
  for (const auto& pair : json.at("model").at("merges").get_array()) {
    std::string merge = merge_of(pair);
    merge.erase(merge.find(' '), 1);
    ranks.emplace(merge, -static_cast<double>(ranks.size()));
  }
  base::JsonArray scores;
  auto& kinds = metadata["tokenizer.ggml.token_type"].get_array();
  for (const base::JsonValue& token : metadata.at("tokenizer.ggml.tokens").get_array()) {
    const std::string text(token.get_string());
    base::JsonValue& kind = kinds[scores.size()];
    if (text == "<unk>") kind = 2;
    if (text.size() == 6 && text.starts_with("<0x")) kind = 6;
    scores.push_back(ranks.contains(text) ? ranks[text] : -1e6);
  }
  metadata["tokenizer.ggml.scores"] = scores;
  metadata.erase("tokenizer.ggml.add_bos_token");
  const auto tokenizer = load_gguf_tokenizer(metadata, {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  expect_cases(**tokenizer, "mixtral");
}

TEST(GgufTokenizer, NamesSpecialTokensAndTheTemplate) {
  const auto config = gguf_tokenizer_config(qwen2());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->at("bos_token"), "<|im_start|>");
  EXPECT_EQ(config->at("eos_token"), "<|im_end|>");
  EXPECT_FALSE(config->get_object().contains("pad_token"));
  EXPECT_EQ(config->at("chat_template"), "{{ bos }}");
  EXPECT_EQ(gguf_chat_templates({}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(gguf_chat_templates({{"tokenizer.chat_template", 1}}).status().code(), absl::StatusCode::kInvalidArgument);
  const auto named = gguf_chat_templates({{"tokenizer.chat_template.tool_use", "t"},
                                          {"tokenizer.chat_templates", base::JsonArray{"tool_use"}},
                                          {"tokenizer.chat_template", "d"}});
  ASSERT_TRUE(named.ok()) << named.status();
  ASSERT_EQ(named->size(), 2u);
  EXPECT_EQ((*named)[0].name + (*named)[0].source, "defaultd");
  EXPECT_EQ((*named)[1].name + (*named)[1].source, "tool_uset");
}

// Padding up to the model's vocabulary is no token.
TEST(GgufTokenizer, LeavesOutUnusedTokens) {
  base::JsonObject metadata = qwen2();
  metadata["tokenizer.ggml.tokens"].get_array().push_back("[PAD1500]");
  metadata["tokenizer.ggml.token_type"].get_array().push_back(5);
  const auto tokenizer = load_gguf_tokenizer(metadata, {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 1500u);
}

TEST(GgufTokenizer, RefusesByName) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  const std::tuple<const char*, base::JsonValue, absl::StatusCode, const char*> cases[] = {
      {"model", nullptr, kInvalid, "model: must be a string"},
      {"model", "", absl::StatusCode::kNotFound, "describes no tokenizer"},
      {"model", "rwkv", kUnimplemented, "model: \"rwkv\" is not built yet"},
      {"model", "llama", kInvalid, "scores: must have one entry a token"},
      {"pre", "falcon", kUnimplemented, "pre: \"falcon\" is not built yet"},
      {"tokens", 7, kInvalid, "tokens: must be an array"},
      {"tokens", base::JsonArray(1500, 7), kInvalid, "entry 0 must be a string"},
      {"tokens", base::JsonArray(1500, "x"), kInvalid, "is there twice"},
      {"token_type", base::JsonArray{1}, kInvalid, "one entry a token"},
      {"merges", "a b", kInvalid, "merges: must be an array"},
      {"merges", base::JsonArray{"ab"}, kInvalid, "merges"},
      {"bos_token_id", 1500, kInvalid, "bos_token_id: must be an id below 1500"},
      {"eos_token_id", -1, kInvalid, "eos_token_id: must be an id"},
      {"add_bos_token", 1, kInvalid, "add_bos_token: must be a boolean"},
  };
  for (const auto& [key, value, code, message] : cases) {
    base::JsonObject metadata = qwen2();
    metadata[std::string("tokenizer.ggml.") + key] = value;
    const auto status = load_gguf_tokenizer(metadata, {}).status();
    EXPECT_EQ(status.code(), code) << key << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  const auto many = load_gguf_tokenizer(qwen2(), {.vocab_max = 1000}).status();
  EXPECT_THAT(std::string(many.message()), HasSubstr("1500 entries; at most 1000"));
  EXPECT_EQ(load_gguf_tokenizer({}, {}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace polymath::text
