// Files that are not what they should be: a clear sentence, never a crash.

#include <filesystem>

#include "gmock/gmock.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct BadFile {
  std::string json;
  std::string message;  // a part of it
};

void expect_refused(const BadFile& file, const std::string& config = "") {
  const auto tokenizer = parse_tokenizer_json(file.json, config, {});
  ASSERT_FALSE(tokenizer.ok()) << file.json;
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(file.message)) << file.json;
}

TEST(BadTokenizerJson, IsRefusedAsAWhole) {
  for (const BadFile& file : std::vector<BadFile>{
           {"", "tokenizer.json: invalid JSON"},
           {"{", "invalid JSON"},
           {"[]", "must be an object"},
           {"{}", "model: missing"},
           {R"({"model": 1})", "model: must be an object"},
           {R"({"model": {"type": 5}})", "model.type: must be a string"},
           {R"({"model": {"type": "WordPiece"}})", "type \"WordPiece\" is not supported"},
           {R"({"model": {"type": "BPE"}})", "model.vocab: must be an object"},
           {R"({"model": {"type": "BPE", "vocab": {"a": "x"}, "merges": []}})", "id must be an integer"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 1.5}, "merges": []}})", "id must be an integer"},
           {R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", "id -1 is outside"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 99999999999}, "merges": []}})", "is outside"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 3, "b": 3}, "merges": []}})", "id 3: stands for both"},
           {R"({"model": {"type": "BPE", "vocab": {}}})", "model.merges: must be an array"},
           {R"({"model": {"type": "BPE", "vocab": {}, "merges": [1]}})", "model.merges[0]: must be a string"},
           {R"({"model": {"type": "BPE", "vocab": {}, "merges": ["ab"]}})", "one space"},
           {R"({"model": {"type": "BPE", "vocab": {}, "merges": [["a"]]}})", "must be two strings"},
           {R"({"model": {"type": "BPE", "vocab": {}, "merges": ["a b"]}})", "\"a\" is not in the vocabulary"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}})", "\"ab\" is not in the"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"], "continuing_subword_prefix": "####"}})",
            "shorter than continuing_subword_prefix"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "u"}})", "model.unk_token"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}})", "dropout"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "byte_fallback": 1}})", "true or false"},
           {R"({"model": {"type": "Unigram", "vocab": {"a": 0}}})", "model.vocab: must be an array"},
           {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", "model.vocab[0]: must be [text, score]"},
           {R"({"model": {"type": "Unigram", "vocab": [["a", "b"]]}})", "model.vocab[0]: must be [text, score]"},
           {R"({"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 0]]}})", "has both id 0 and id 1"},
           {R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}})", "unk_id"},
           {R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": -1}})", "unk_id"},
       }) {
    expect_refused(file);
  }
}

TEST(BadTokenizerJson, IsRefusedInItsParts) {
  const std::string head = R"({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}, )";
  for (const BadFile& file : std::vector<BadFile>{
           {R"("normalizer": {"type": "Nope"})", "normalizer: type \"Nope\" is not supported"},
           {R"("normalizer": {})", "normalizer.type: missing"},
           {R"("normalizer": [])", "normalizer: must be an object"},
           {R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "X"}]})", "normalizer[0]: type \"X\""},
           {R"("normalizer": {"type": "Replace", "content": "x"})", "normalizer.pattern: missing"},
           {R"("normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""})", "regular expression"},
           {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"})", "must be base64"},
           {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAA="})", "precompiled_charsmap"},
           {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="})", "precompiled_charsmap"},
           {R"("pre_tokenizer": {"type": "Nope"})", "pre_tokenizer: type \"Nope\""},
           {R"("pre_tokenizer": {"type": "Sequence"})", "pre_tokenizer.pretokenizers: must be an array"},
           {R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a[b"}, "behavior": "Removed"})",
            "without its end"},
           {R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Lost"})", "behavior"},
           {R"("pre_tokenizer": {"type": "Metaspace", "replacement": "ab"})", "must be one character"},
           {R"("pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "maybe"})", "always, first or never"},
           {R"("decoder": {"type": "WordPiece"})", "decoder: type \"WordPiece\""},
           {R"("decoder": {"type": "Strip", "content": ""})", "must be one character"},
           {R"("post_processor": {"type": "Nope"})", "post_processor: type \"Nope\""},
           {R"("post_processor": {"type": "BertProcessing", "cls": ["a", 9], "sep": ["b", 1]})", "id 9 is not in"},
           {R"("post_processor": {"type": "BertProcessing", "cls": "a", "sep": ["b", 1]})", "must be [token, id]"},
           {R"("post_processor": {"type": "TemplateProcessing", "single": []})", "the text is missing"},
           {R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]})",
            "\"x\" is missing"},
           {R"("added_tokens": 3)", "must be an array"},
           {R"("added_tokens": [{"id": 7}])", "added_tokens[0].content: missing"},
           {R"("added_tokens": [{"content": "x"}])", "added_tokens[0].id: missing"},
           {R"("added_tokens": [{"id": 1, "content": "x"}])", "id 1: stands for both"},
           {R"("added_tokens": [{"id": 5, "content": "a"}])", "has both id 0 and id 5"},
           {R"("added_tokens": [{"id": 2147483647, "content": "x"}])", "is outside"},
       }) {
    expect_refused({head + file.json + "}", file.message});
  }
}

TEST(BadTokenizerJson, EveryTruncationIsRefused) {
  const std::string json = read_data("tokenizers/gpt2/tokenizer.json");
  for (size_t size = 0; size + 2 < json.size(); size += 1 + json.size() / 50) {
    EXPECT_FALSE(parse_tokenizer_json(json.substr(0, size), "", {}).ok()) << size;
  }
}

TEST(BadTokenizerJson, LimitsAreHeld) {
  const std::string json = R"({"model": {"type": "WordLevel", "vocab": {"abcd": 0, "b": 1}}})";
  EXPECT_TRUE(parse_tokenizer_json(json, "", {}).ok());
  EXPECT_FALSE(parse_tokenizer_json(json, "", {.file_bytes_max = 10}).ok());
  EXPECT_FALSE(parse_tokenizer_json(json, "", {.vocab_max = 1}).ok());
  EXPECT_FALSE(parse_tokenizer_json(json, "", {.token_bytes_max = 3}).ok());
}

TEST(BadTokenizerConfig, IsRefused) {
  const std::string json = R"({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}})";
  for (const auto& [config, message] : std::vector<std::pair<std::string, std::string>>{
           {"{", "tokenizer_config.json: invalid JSON"},
           {"[]", "tokenizer_config.json: must be an object"},
           {R"({"bos_token": 5})", "tokenizer_config.json.bos_token"},
           {R"({"additional_special_tokens": "x"})", "additional_special_tokens"},
           {R"({"additional_special_tokens": [1]})", "additional_special_tokens"},
           {R"({"added_tokens_decoder": []})", "added_tokens_decoder: must be an object"},
           {R"({"added_tokens_decoder": {"x": {"content": "t"}}})", "must be a number"},
           {R"({"added_tokens_decoder": {"1": {"content": "t"}}})", "stands for both"},
           {R"({"add_bos_token": "yes"})", "add_bos_token: must be true or false"},
           {R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true})", "is no token of the vocabulary"},
       }) {
    expect_refused({json, message}, config);
  }
}

TEST(LoadTokenizer, NamesTheFile) {
  const std::string root = ::testing::TempDir() + "/polymath_tokenizer_test";
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  auto loaded = load_tokenizer(root, {});
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(loaded.status().message()),
              HasSubstr("looked for tokenizer.json, tekken.json, tekken*.json, tiktoken.model, *.tiktoken, "
                        "tokenizer.model, tokenizer.model.v*"));

  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(root + "/" + name) << text;
  };
  write("tokenizer.json", R"({"model": {"type": "WordLevel", "vocab": {"a": 0, "</s>": 1}}})");
  write("special_tokens_map.json", R"({"eos_token": "</s>"})");
  loaded = load_tokenizer(root, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->eos_id(), 1);

  write("tokenizer_config.json", R"({"bos_token": "a"})");
  loaded = load_tokenizer(root, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->bos_id(), 0);
  EXPECT_EQ((*loaded)->eos_id(), 1);

  write("tokenizer.json", "{");
  EXPECT_THAT(std::string(load_tokenizer(root, {}).status().message()),
              AllOf(HasSubstr(root), HasSubstr("tokenizer.json: invalid JSON")));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace polymath::text
