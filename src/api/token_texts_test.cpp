#include "api/token_texts.h"

#include <gtest/gtest.h>

#include "api/test_model.h"
#include "text/token_bytes.h"

namespace polymath::api {
namespace {

// SentencePiece's way: bytes as <0x..>, blanks as U+2581, the first blank dropped.
ServedModel byte_fallback_model() {
  constexpr char kJson[] = R"({"added_tokens":[{"id":0,"content":"<s>","special":true}],
    "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
      {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
    "model":{"type":"BPE","byte_fallback":true,"unk_token":"a","merges":[],
      "vocab":{"<s>":0,"a":1,"▁a":2,"<0xEC>":3,"<0x95>":4,"<0x88>":5,"<0x41>":6}}})";
  ServedModel model;
  auto tokenizer = text::parse_tokenizer_json(kJson, "", {});
  CHECK(tokenizer.ok());
  model.tokenizer = *std::move(tokenizer);
  complete_tokenizer_facts(model);
  return model;
}

struct Joined {
  std::string text, bytes;
};

// Takes all ids; checks that an alternative equals the token itself, and that the offsets count the text.
Joined take_all(TokenTexts& texts, const std::vector<int32_t>& ids) {
  Joined joined;
  for (const int32_t id : ids) {
    const TokenText other = texts.peek(id);
    const TokenText token = texts.take(id);
    EXPECT_EQ(other.text, token.text);
    EXPECT_EQ(other.bytes, token.bytes);
    joined.text += token.text;
    joined.bytes += token.bytes;
    EXPECT_EQ(texts.characters(), count_characters(joined.text));
  }
  return joined;
}

TEST(TokenTexts, JoinedTheyAreTheText) {
  const ServedModel model = stand_in_model();
  for (const std::string text : {"hello world, the cat", "안녕 세계", "\U0001f600!", "ä", "naïve\n"}) {
    TokenTexts texts(model, {}, true);
    const Joined joined = take_all(texts, model.tokenizer->encode(text, false));
    EXPECT_EQ(joined.text, text);
    EXPECT_EQ(joined.bytes, text);
  }
}

TEST(TokenTexts, ACharacterIsShownByItsLastToken) {
  const ServedModel model = byte_fallback_model();
  TokenTexts texts(model, {}, true);
  const struct {
    int32_t id;
    const char *text, *bytes;
    int64_t offset;
  } rows[] = {
      {0, "<s>", "<s>", 0},  // special: not in the text
      {2, "a", "a", 0},      // at the beginning, without its blank
      {3, "", "\xEC", 1},   {4, "", "\x95", 1}, {5, "안", "\x88", 1},
      {2, " a", " a", 2},   {3, "", "\xEC", 4}, {1, "\xEF\xBF\xBD\x61", "a", 4},  // the character has no end
      {6, "A", "A", 6},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(texts.characters(), row.offset) << row.id;
    const TokenText token = texts.take(row.id);
    EXPECT_EQ(token.text, row.text) << row.id;
    EXPECT_EQ(token.bytes, row.bytes) << row.id;
  }
}

TEST(TokenTexts, APromptMayEndWithinACharacter) {
  const ServedModel model = byte_fallback_model();
  TokenTexts texts(model, std::vector<int32_t>{2, 3, 4}, true);
  EXPECT_EQ(texts.characters(), 0);
  EXPECT_EQ(texts.peek(3).text, "\xEF\xBF\xBD") << "no third byte";
  EXPECT_EQ(texts.take(5).text, "안");
  EXPECT_EQ(texts.characters(), 1);
  EXPECT_EQ(TokenTexts(model, std::vector<int32_t>{1}, true).take(2).text, " a");
  EXPECT_EQ(TokenTexts(model, std::vector<int32_t>{0}, true).take(2).text, "a");
}

TEST(TokenTexts, WithoutATokenizerThereIsNone) {
  const ServedModel model;
  TokenTexts texts(model, std::vector<int32_t>{1}, true);
  EXPECT_EQ(texts.take(5).text, "");
  EXPECT_EQ(texts.characters(), 0);
}

}  // namespace
}  // namespace polymath::api
