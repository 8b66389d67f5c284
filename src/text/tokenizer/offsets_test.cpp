// Offsets against those of huggingface/tokenizers; tools/make_offset_cases.py records them.

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using ::testing::ElementsAre;

// The tokenizer.json of an entry, with the entry's members in place of its own.
std::unique_ptr<Tokenizer> tokenizer_of(const base::JsonValue& entry) {
  const std::string name(entry.at("tokenizer").as_string());
  const std::string path = name.find('/') == std::string::npos ? "tokenizers/" + name : "../../../" + name;
  auto json = base::parse_json(read_data(path + "/tokenizer.json"), {.bytes_max = 1u << 28});
  EXPECT_TRUE(json.ok()) << path << json.status();
  for (const auto& member : entry.at("members").as_object()) json->as_object()[member.key()] = member.value();
  auto tokenizer = parse_tokenizer_json(base::to_text(*json), "", {});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(Offsets, AreThoseOfTokenizers) {
  const auto entries = base::parse_json(read_data("offsets.json"), {.bytes_max = 1u << 28});
  ASSERT_TRUE(entries.ok()) << entries.status();
  for (const base::JsonValue& entry : entries->as_array()) {
    const auto tokenizer = tokenizer_of(entry);
    for (const base::JsonValue& c : entry.at("cases").as_array()) {
      base::JsonReader reader(c);
      const std::string text = reader.s("text");
      std::vector<int> ids, offsets;
      for (const TextToken& token : tokenizer->encode_with_offsets(text, true)) {
        ids.push_back(token.id);
        offsets.push_back(static_cast<int>(token.begin));
        offsets.push_back(static_cast<int>(token.end));
      }
      const std::string what = absl::StrCat(base::to_text(entry.at("tokenizer")), " ",
                                            base::to_text(entry.at("members")), ": ", base::to_text(c.at("text")));
      EXPECT_EQ(ids, reader.ints("ids")) << what;
      EXPECT_EQ(offsets, reader.ints("offsets")) << what;
      EXPECT_EQ(ids, tokenizer->encode(text, true)) << what;
    }
  }
}

using Spans = std::vector<std::string>;

// Every token's part of the text.
Spans parts_of(const Tokenizer& tokenizer, const std::string& text) {
  Spans out;
  for (const TextToken& token : tokenizer.encode_with_offsets(text, false)) {
    out.push_back(text.substr(token.begin, token.end - token.begin));
  }
  return out;
}

// Kinds that tokenizers does not read: the ids are encode()'s, and the parts are the text.
TEST(Offsets, OfOtherFilesCoverTheText) {
  const auto covers = [](const Tokenizer& tokenizer, const std::string& text, const std::string& what) {
    std::vector<TokenId> ids;
    size_t end = 0;
    for (const TextToken& token : tokenizer.encode_with_offsets(text, false)) {
      ids.push_back(token.id);
      EXPECT_LE(token.begin, end) << what << ": " << text;
      end = std::max(end, token.end);
    }
    EXPECT_EQ(ids, tokenizer.encode(text, false)) << what << ": " << text;
    EXPECT_EQ(end, text.size()) << what << ": " << text;
  };
  for (const char* name : {"ranked/kimi", "ranked/llama3", "ranked/o200k", "ranked/tekken_v13"}) {
    const auto tokenizer = load_tokenizer(data_path(name), {});
    ASSERT_TRUE(tokenizer.ok()) << name << tokenizer.status();
    for (const char* text : {"the cat", " a h\xC3\xA9llo \xF0\x9F\x98\x80 1234", "x"}) covers(**tokenizer, text, name);
  }
  for (const char* name : {"bpe_bytes", "bpe_rules", "unigram_bytes", "unigram_rules", "unigram_suffix"}) {
    const auto tokenizer = parse_sentencepiece_model(read_data(absl::StrCat("sentencepiece/", name, ".model")), "", {});
    ASSERT_TRUE(tokenizer.ok()) << name << tokenizer.status();
    for (const char* text : {"the cat", "h\xC3\xA9llo \xF0\x9F\x98\x80 1234", "x"}) covers(**tokenizer, text, name);
  }
}

TEST(Offsets, TheTokensOfOneCharacterOverlapAndBadBytesCountAsTheirReplacement) {
  const auto gpt2 = load_kind("gpt2");
  const std::string face = "\xF0\x9F\x98\x80";
  for (const std::string& part : parts_of(*gpt2, face)) EXPECT_EQ(part, face);
  const auto tokens = gpt2->encode_with_offsets(
      "a\xFF"
      "b",
      false);
  EXPECT_EQ(tokens.back().begin, 4u);
  EXPECT_EQ(tokens.back().end, 5u);
}

}  // namespace
}  // namespace polymath::text
