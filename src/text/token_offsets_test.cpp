#include "text/token_offsets.h"

#include <gmock/gmock.h>

#include <string>

#include "text/chat_template.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> mask(std::initializer_list<ByteRange> ranges, std::initializer_list<TextToken> tokens) {
  return tokens_within({ranges.begin(), ranges.size()}, {tokens.begin(), tokens.size()});
}

TEST(TokenOffsets, CountCharacters) {
  const std::string text = "a\xC3\xA9\xF0\x9F\x98\x80z";  // of 1, 2, 4 and 1 bytes
  const auto tokens = in_characters(text, {{1, 0, 0}, {2, 0, 3}, {3, 3, 7}, {4, 3, 7}, {5, 7, 8}, {6, 0, 0}});
  std::vector<size_t> got;
  for (const TextToken& token : tokens) got.insert(got.end(), {token.begin, token.end});
  EXPECT_THAT(got, ElementsAre(0, 0, 0, 2, 2, 3, 2, 3, 3, 4, 0, 0));
  EXPECT_EQ(tokens[2].id, 3);
  EXPECT_TRUE(in_characters("", {}).empty());
}

TEST(TokenOffsets, ATokenIsWithinARangeThatHasSomeOfItsBytes) {
  EXPECT_THAT(mask({}, {{1, 0, 2}}), ElementsAre(0));
  EXPECT_THAT(mask({{2, 4}}, {{1, 0, 2}, {2, 2, 4}, {3, 4, 6}}), ElementsAre(0, 1, 0));
  EXPECT_THAT(mask({{1, 5}}, {{1, 0, 2}, {2, 2, 4}, {3, 4, 6}}), ElementsAre(1, 1, 1)) << "they reach into it";
  EXPECT_THAT(mask({{0, 1}, {2, 3}}, {{1, 0, 3}, {2, 3, 4}}), ElementsAre(1, 0)) << "one token of two ranges";
  EXPECT_THAT(mask({{0, 2}, {6, 9}}, {{1, 0, 2}, {2, 2, 6}, {3, 6, 9}}), ElementsAre(1, 0, 1));
  EXPECT_THAT(mask({{4, 8}}, {{1, 0, 4}, {2, 4, 8}, {3, 4, 8}, {4, 8, 9}}), ElementsAre(0, 1, 1, 0)) << "one character";
}

TEST(TokenOffsets, SpecialTokensAroundTheTextAreInNoRange) {
  EXPECT_THAT(mask({{0, 4}}, {{1, 0, 0}, {2, 0, 4}, {1, 0, 0}}), ElementsAre(0, 1, 0));
  EXPECT_THAT(mask({{2, 4}}, {{1, 0, 0}, {2, 0, 2}, {3, 2, 4}, {1, 0, 0}}), ElementsAre(0, 0, 1, 0));
}

// A tokenizer may trim blanks: "a  b" with tokens of no bytes.
TEST(TokenOffsets, TrimmedBlanksEndNoRange) {
  EXPECT_THAT(mask({{0, 4}}, {{1, 0, 1}, {2, 2, 2}, {3, 3, 4}}), ElementsAre(1, 1, 1));
  EXPECT_THAT(mask({{1, 4}, {5, 6}}, {{1, 0, 1}, {2, 2, 4}, {3, 5, 6}}), ElementsAre(0, 1, 1)) << "begins with a blank";
  EXPECT_THAT(mask({{0, 2}}, {{1, 0, 1}, {2, 2, 2}, {3, 2, 3}}), ElementsAre(1, 0, 0));
}

// tools/make_mask_cases.py records them.
TEST(TokenOffsets, TheAssistantsTokensAreThoseOfTransformers) {
  const auto entries = base::parse_json(read_data("assistant_masks.json"), {.bytes_max = 1u << 28});
  ASSERT_TRUE(entries.ok()) << entries.status();
  for (const base::JsonValue& entry : entries->as_array()) {
    base::JsonReader reader(entry);
    const auto chat_template = ChatTemplate::parse(reader.s("template"), {});
    ASSERT_TRUE(chat_template.ok()) << chat_template.status();
    const auto chat = chat_template->render(base::JsonObject{{"messages", entry.at("messages")}}, 0);
    ASSERT_TRUE(chat.ok()) << chat.status();
    const auto tokens = load_kind(reader.s("tokenizer"))->encode_with_offsets(chat->text, false);
    std::vector<int> ids;
    for (const TextToken& token : tokens) ids.push_back(token.id);
    EXPECT_EQ(ids, reader.ints("ids")) << base::to_text(entry);
    EXPECT_EQ(tokens_within(chat->generated, tokens), reader.ints("mask")) << base::to_text(entry);
  }
}

TEST(TokenOffsets, EncodingEndsAtItsBounds) {
  const auto tokenizer = load_kind("gpt2");
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "word ";
  EXPECT_LT(tokenizer->encode_with_offsets(text, false, {.tokens_max = 100}).size(), 2'000u);
  int asked = 0;
  const auto stopped = [&asked] { return ++asked > 2; };
  EXPECT_LT(tokenizer->encode_with_offsets(text, false, {.stopped = stopped}).size(), 2'000u);
}

}  // namespace
}  // namespace polymath::text
