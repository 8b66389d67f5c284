#include "text/token_texts.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace polymath::text {
namespace {

std::unique_ptr<Tokenizer> make(std::string_view json) {
  auto tokenizer = parse_tokenizer_json(json, "", {});
  CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

// SentencePiece's way: bytes as <0x..>, blanks as U+2581, the first blank dropped.
std::unique_ptr<Tokenizer> byte_fallback() {
  return make(R"({"added_tokens":[{"id":0,"content":"<s>","special":true}],
    "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
      {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
    "model":{"type":"BPE","byte_fallback":true,"unk_token":"a","merges":[],
      "vocab":{"<s>":0,"a":1,"▁a":2,"<0xEC>":3,"<0x95>":4,"<0x88>":5,"<0x41>":6}}})");
}

// GPT-2's way: a printable character for each byte.
std::unique_ptr<Tokenizer> byte_level() {
  return make(R"({"decoder":{"type":"ByteLevel"},
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":false},
    "model":{"type":"BPE","merges":["Ġ a"],"vocab":{"a":0,"Ġ":1,"Ġa":2,"ì":3,"ķ":4,"Ī":5,"Ã":6,"¤":7}}})");
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
  const auto tokenizer = byte_level();
  for (const std::string text : {"a a aa", "안", "a 안a", "ä안ä", ""}) {
    TokenTexts texts(tokenizer.get(), {}, true);
    const Joined joined = take_all(texts, tokenizer->encode(text, false));
    EXPECT_EQ(joined.text, text);
    EXPECT_EQ(joined.bytes, text);
  }
}

TEST(TokenTexts, ACharacterIsShownByItsLastToken) {
  const auto tokenizer = byte_fallback();
  TokenTexts texts(tokenizer.get(), {}, true);
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
  const auto tokenizer = byte_fallback();
  TokenTexts texts(tokenizer.get(), std::vector<int32_t>{2, 3, 4}, true);
  EXPECT_EQ(texts.characters(), 0);
  EXPECT_EQ(texts.peek(3).text, "\xEF\xBF\xBD") << "no third byte";
  EXPECT_EQ(texts.take(5).text, "안");
  EXPECT_EQ(texts.characters(), 1);
  EXPECT_EQ(TokenTexts(tokenizer.get(), std::vector<int32_t>{1}, true).take(2).text, " a");
  EXPECT_EQ(TokenTexts(tokenizer.get(), std::vector<int32_t>{0}, true).take(2).text, "a");
}

TEST(TokenTexts, WithoutATokenizerThereIsNone) {
  TokenTexts texts(nullptr, std::vector<int32_t>{1}, true);
  EXPECT_EQ(texts.take(5).text, "");
  EXPECT_EQ(texts.characters(), 0);
}

}  // namespace
}  // namespace polymath::text
