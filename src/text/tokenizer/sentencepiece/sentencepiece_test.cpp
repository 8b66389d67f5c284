// tokenizer.model against SentencePiece itself: tools/make_sentencepiece_cases.py made the models and the cases.

#include <random>

#include "gmock/gmock.h"
#include "text/detokenizer.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<TokenId>;

#ifdef POLYMATH_SANITIZED
constexpr double kSecondsMost = 50;
#else
constexpr double kSecondsMost = 5;
#endif

const char* const kModels[] = {"bpe_bytes", "bpe_rules", "unigram_bytes", "unigram_rules", "unigram_suffix"};

std::unique_ptr<Tokenizer> load_model(const std::string& name, const std::string& config = "") {
  auto tokenizer = parse_sentencepiece_model(read_data("sentencepiece/" + name + ".model"), config, {});
  EXPECT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(SentencePiece, AgreesWithTheReference) {
  for (const std::string name : kModels) {
    const auto tokenizer = load_model(name);
    const auto file = base::parse_json(read_data("sentencepiece/" + name + ".cases.json"), {});
    ASSERT_TRUE(file.ok()) << file.status();
    const auto& root = file->get_object();
    for (const auto& entry : root.at("cases").get_array()) {
      base::JsonReader c(entry);
      EXPECT_EQ(tokenizer->encode(c.s("text"), false), c.ints("ids")) << name << ": " << c.s("text");
      EXPECT_EQ(tokenizer->decode(c.ints("ids"), true), c.s("decoded")) << name << ": " << c.s("text");
    }
    for (const auto& entry : root.at("ids_only").get_array()) {
      base::JsonReader c(entry);
      EXPECT_EQ(tokenizer->decode(c.ints("ids"), true), c.s("decoded")) << name << ": " << base::to_text(entry);
    }
  }
}

TEST(SentencePiece, StreamsWhatItDecodes) {
  std::mt19937 random(5);
  for (const std::string name : kModels) {
    const auto tokenizer = load_model(name);
    for (int round = 0; round < 100; ++round) {
      Ids ids(random() % 120);
      for (auto& id : ids) id = static_cast<TokenId>(random() % (round % 2 == 0 ? tokenizer->vocab_size() : 270));
      Detokenizer detokenizer(*tokenizer, {}, {});
      std::string text;
      for (const TokenId id : ids) text += detokenizer.push(id);
      text += detokenizer.finish();
      EXPECT_EQ(text, tokenizer->decode(ids, true)) << name;
    }
  }
}

TEST(SentencePiece, SpecialTokensAreFoundAndAdded) {
  const auto plain = load_model("bpe_bytes");
  EXPECT_EQ(plain->bos_id(), 1);
  EXPECT_EQ(plain->eos_id(), 2);
  EXPECT_TRUE(plain->is_special(1));
  const Ids a = plain->encode("a", false);
  Ids expected{1};
  expected.insert(expected.end(), a.begin(), a.end());
  EXPECT_EQ(plain->encode("a", true), expected);
  EXPECT_EQ(plain->encode("<s>a", false), expected);
  EXPECT_EQ(plain->decode(expected, true), "a");
  EXPECT_EQ(plain->decode(expected, false), "<s> a");

  const auto bare = load_model("bpe_bytes", R"({"add_bos_token": false, "add_eos_token": true, "legacy": false})");
  Ids with_end = a;
  with_end.push_back(2);
  EXPECT_EQ(bare->encode("a", true), with_end);
  // Without "legacy" only the beginning of the whole text gets the dummy prefix.
  EXPECT_EQ(bare->encode("<s>a", false), (Ids{1, id_of(*bare, "a")}));

  const auto added =
      load_model("bpe_bytes", R"({"added_tokens_decoder": {"900": {"content": "<tool>", "special": true}}})");
  EXPECT_EQ(added->encode("<tool>", false), Ids{900});
  EXPECT_EQ(added->vocab_size(), 901u);
}

// Expected ids: transformers 5.24's LlamaTokenizer, and the slow one of 4.57.
TEST(SentencePiece, AddedTokensAreFoundAsSpelled) {
  for (const char* entry : {R"("added_tokens_encoder": {"<think>": 560})",
                            R"("added_tokens_decoder": {"560": {"content": "<think>", "normalized": true}})"}) {
    const auto tokenizer = load_model("bpe_bytes", std::string(R"({"legacy": false, )") + entry + "}");
    EXPECT_EQ(tokenizer->encode("a\n<think>b", false), (Ids{264, 16, 560, 489})) << entry;
    EXPECT_EQ(tokenizer->encode("<think>", false), Ids{560}) << entry;
  }
}

TEST(SentencePiece, NoMegabyteTakesLong) {
  for (const std::string name : kModels) {
    const auto tokenizer = load_model(name);
    for (const std::string unit : {"a", " ", "\n", "\xFF\x81", "expert "}) {
      std::string text;
      while (text.size() < (1u << 18)) text += unit;
      const std::clock_t start = std::clock();
      tokenizer->encode(text, false);
      EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, kSecondsMost) << name;
    }
  }
}

TEST(BadSentencePieceModel, IsRefusedOrReadWhereverItIsCut) {
  const std::string model = read_data("sentencepiece/unigram_suffix.model");
  for (size_t size = 0; size < model.size(); size += 7) {
    const auto cut = parse_sentencepiece_model(model.substr(0, size), "", {});
    if (cut.ok()) {
      (*cut)->encode("experts", true);  // cut between two pieces: a smaller model
    } else {
      EXPECT_THAT(std::string(cut.status().message()), HasSubstr("tokenizer.model: "));
    }
  }
}

TEST(BadSentencePieceModel, AnyFlippedByteIsSurvived) {
  std::mt19937 random(9);
  for (const std::string name : {"bpe_rules", "unigram_rules"}) {
    const std::string model = read_data("sentencepiece/" + name + ".model");
    for (int round = 0; round < 300; ++round) {
      std::string changed = model;
      changed[random() % changed.size()] = static_cast<char>(random());
      changed[changed.size() - 1 - random() % 200] ^= static_cast<char>(1u << random() % 8);
      const auto tokenizer = parse_sentencepiece_model(changed, "", {});
      if (tokenizer.ok()) (*tokenizer)->decode((*tokenizer)->encode("the experts \xEF\xAC\x81 e\xCC\x81", true), false);
    }
  }
}

// One field: a tag, then a count and bytes.
std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  size_t count = bytes.size();
  for (; count >= 0x80; count >>= 7) out.push_back(static_cast<char>(0x80 | (count & 0x7F)));
  return out + static_cast<char>(count) + bytes;
}
std::string piece(const std::string& text, int type) {
  return field(1, field(1, text) + std::string{'\x18', static_cast<char>(type)});
}

TEST(BadSentencePieceModel, LongPiecesLoadInLinearTime) {
  std::string model = piece("<unk>", 2) + piece("a", 1) + field(2, "\x18\x02");  // BPE
  constexpr size_t kPieceBytes = 65000, kPieces = 24;
  for (size_t i = 0; i < kPieces; ++i) model += piece(std::string(kPieceBytes - i, 'a'), 1);
  const std::clock_t start = std::clock();
  const auto tokenizer = parse_sentencepiece_model(model, "", {});
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, kSecondsMost);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
}

TEST(BadSentencePieceModel, SaysWhatIsWrong) {
  const std::string unknown = piece("<unk>", 2);
  for (const auto& [model, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "it has no pieces"},
           {"\x0F", "wire type 7"},
           {std::string(1, '\0'), "field number 0"},
           {"\x0A\x7F", "is cut off"},
           {std::string(11, '\xFF'), "more than ten bytes"},
           {"\x08\x01", "field 1 has the wrong type"},
           {piece("", 1), "without text"},
           {piece("a", 9), "type 9 is not known"},
           {piece("a", 1), "no piece is of type UNKNOWN"},
           {unknown + piece("<unk2>", 2), "are both unknown"},
           {unknown + piece("a", 1) + piece("a", 1), "has both id 1 and id 2"},
           {unknown + piece("\xFF", 1), "is not UTF-8"},
           {unknown + field(2, "\x18\x03"), "WORD is not supported"},
           {unknown + field(2, "\x18\x09"), "model_type 9 is not known"},
           {unknown + field(2, "\x98\x02\x01"), "byte_fallback without all"},
           {unknown + field(3, field(2, "xy")), "precompiled_charsmap"},
       }) {
    const auto tokenizer = parse_sentencepiece_model(model, "", {});
    ASSERT_FALSE(tokenizer.ok()) << message;
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(message));
  }
}

}  // namespace
}  // namespace polymath::text
