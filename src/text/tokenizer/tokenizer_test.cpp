#include "text/tokenizer.h"

#include <ctime>
#include <random>
#include <thread>

#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using Ids = std::vector<TokenId>;

TEST(Tokenizer, AgreesWithTheReferenceOfEachKind) {
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    ASSERT_NE(tokenizer, nullptr);
    for (const auto& c : read_cases("tokenizers/" + kind + "/cases.json")) {
      EXPECT_EQ(tokenizer->encode(c.text, true), c.ids) << kind << ": " << c.text;
      EXPECT_EQ(tokenizer->encode(c.text, false), c.ids_without_special) << kind << ": " << c.text;
      EXPECT_EQ(tokenizer->decode(c.ids_without_special, true), c.decoded) << kind << ": " << c.text;
      EXPECT_EQ(tokenizer->decode(c.ids, false), c.decoded_keep_special) << kind << ": " << c.text;
    }
  }
}

std::string random_bytes(size_t n) {
  std::mt19937 random(7);
  std::string text(n, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string repeat(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

#ifdef POLYMATH_SANITIZED
constexpr double kSecondsAllowed = 20;
#else
constexpr double kSecondsAllowed = 1;
#endif

TEST(Tokenizer, NoMegabyteTakesLong) {
  constexpr size_t kBytes = 1u << 20;
  const std::pair<const char*, std::string> texts[] = {
      {"one letter", repeat("a", kBytes)},
      {"newlines", repeat("\n", kBytes)},
      {"random bytes", random_bytes(kBytes)},
      {"blanks and newlines", repeat("    \n", kBytes)},
      {"spaces before a letter", repeat(" ", kBytes) + "x"},
      {"marks of two classes", repeat("\xCC\x81\xCC\x96", kBytes)},
      {"almost a special token", repeat("<|im_star", kBytes)},
  };
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    for (const auto& [name, text] : texts) {
      const std::clock_t start = std::clock();  // of the processor: other programs do not count
      const Ids ids = tokenizer->encode(text, false);
      const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      EXPECT_FALSE(ids.empty() && kind != "unigram") << kind << ", " << name;
      EXPECT_LT(seconds, kSecondsAllowed) << kind << ", " << name;
    }
  }
}

TEST(Tokenizer, AnyBytesSurvive) {
  std::mt19937 random(3);
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    for (int round = 0; round < 200; ++round) {
      std::string text(random() % 64, '\0');
      for (char& c : text) c = static_cast<char>(random() % 4 == 0 ? random() : 0xE0 + random() % 32);
      tokenizer->decode(tokenizer->encode(text, true), round % 2 == 0);
      Ids ids(random() % 16);
      for (auto& id : ids) id = static_cast<TokenId>(random());
      tokenizer->decode(ids, round % 2 == 0);
    }
  }
}

TEST(Tokenizer, InvalidBytesAreReadAsReplacements) {
  const auto tokenizer = load_kind("gpt2");
  for (const auto& [bytes, meant] : {std::pair<std::string, std::string>{"a\xFF"
                                                                         "b",
                                                                         "a\xEF\xBF\xBD"
                                                                         "b"},
                                     {"\xF0\x9F\x98", "\xEF\xBF\xBD"},
                                     {"\xE0\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
                                     {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}}) {
    EXPECT_EQ(tokenizer->encode(bytes, false), tokenizer->encode(meant, false));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, false), false), meant);
  }
}

TEST(Tokenizer, ManyThreadsEncodeTheSame) {
  const auto tokenizer = load_kind("qwen2");
  const auto cases = read_cases("tokenizers/qwen2/cases.json");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        for (const auto& c : cases) EXPECT_EQ(tokenizer->encode(c.text, true), c.ids);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

// A word-level tokenizer over `vocab`, with more members of the file behind it.
absl::StatusOr<std::unique_ptr<Tokenizer>> word_level(const std::string& vocab, const std::string& more,
                                                      const std::string& config = "") {
  return parse_tokenizer_json(R"({"model": {"type": "WordLevel", "unk_token": "?", "vocab": )" + vocab + "}" +
                                  (more.empty() ? "" : ", " + more) + "}",
                              config, {});
}

// The words that a pre-tokenizer makes of a text, by a decoder that leaves them as they are.
std::string words_of(const std::string& members, const std::string& text, const std::vector<std::string>& candidates) {
  std::string vocab = R"({"?": 0)";
  for (size_t i = 0; i < candidates.size(); ++i) {
    vocab += ", " + base::to_text(base::JsonValue(boost::json::string(candidates[i]))) + ": " + std::to_string(i + 1);
  }
  const auto tokenizer = word_level(vocab + "}", members);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  if (!tokenizer.ok()) return "";
  std::string out;
  for (const TokenId id : (*tokenizer)->encode(text, false)) {
    if (!out.empty()) out += '|';
    out += (*tokenizer)->token_text(id);
  }
  return out;
}

TEST(PreTokenizer, CutsAsItsTypeSays) {
  struct Row {
    const char* node;
    const char* text;
    std::vector<std::string> words;
  };
  const Row rows[] = {
      {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed"})",
       "the-final--word",
       {"the", "final", "word"}},
      {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated"})",
       "a-b--c",
       {"a", "-", "b", "-", "-", "c"}},
      {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious"})",
       "a-b--c",
       {"a-", "b-", "-", "c"}},
      {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithNext"})",
       "a-b--c",
       {"a", "-b", "-", "-c"}},
      {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "Contiguous"})",
       "a-b--c",
       {"a", "-", "b", "--", "c"}},
      {R"({"type": "Split", "pattern": {"Regex": "\\d+"}, "behavior": "Removed", "invert": true})",
       "a12b345",
       {"12", "345"}},
      {R"({"type": "Digits", "individual_digits": true})", "ab12", {"ab", "1", "2"}},
      {R"({"type": "Digits", "individual_digits": false})", "ab12c", {"ab", "12", "c"}},
      {R"({"type": "Whitespace"})", "Hey, you  there", {"Hey", ",", "you", "there"}},
      {R"({"type": "Whitespace"})", "a\u200db c\u200c d\u00b2", {"a\u200db", "c\u200c", "d", "\u00b2"}},
      {R"({"type": "WhitespaceSplit"})", "Hey, you  there", {"Hey,", "you", "there"}},
      {R"({"type": "Punctuation"})", "a,b.", {"a", ",", "b", "."}},
      {R"({"type": "Punctuation", "behavior": "MergedWithPrevious"})", "a,b.", {"a,", "b."}},
      {R"({"type": "CharDelimiterSplit", "delimiter": "x"})", "axbxxc", {"a", "b", "c"}},
      {R"({"type": "BertPreTokenizer"})", "a, b", {"a", ",", "b"}},
      {R"({"type": "Metaspace", "prepend_scheme": "always"})", "a b", {"\u2581a", "\u2581b"}},
      {R"({"type": "Metaspace", "prepend_scheme": "never"})", "a b", {"a", "\u2581b"}},
      {R"({"type": "Metaspace", "add_prefix_space": false})", "a b", {"a", "\u2581b"}},
      {R"({"type": "Metaspace", "prepend_scheme": "first", "split": false})", "a b", {"\u2581a\u2581b"}},
      {R"({"type": "ByteLevel", "add_prefix_space": true})", "a b", {"\u0120a", "\u0120b"}},
      {R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})", "a b", {"a\u0120b"}},
  };
  for (const Row& row : rows) {
    std::string expected;
    for (const auto& word : row.words) expected.append(expected.empty() ? "" : "|").append(word);
    std::vector<std::string> unique(row.words);
    std::sort(unique.begin(), unique.end());
    unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
    EXPECT_EQ(words_of(std::string(R"("pre_tokenizer": )") + row.node, row.text, unique), expected) << row.node;
  }
}

TEST(Normalizer, ChangesAsItsTypeSays) {
  struct Row {
    const char* node;
    const char* text;
    const char* result;
  };
  const Row rows[] = {
      {R"({"type": "NFC"})", "e\u0301", "\u00e9"},
      {R"({"type": "NFD"})", "\u00e9", "e\u0301"},
      {R"({"type": "NFKC"})", "\ufb01 \u00bd", "fi 1\u20442"},
      {R"({"type": "NFKD"})", "\ufb01\u00e9", "fie\u0301"},
      {R"({"type": "NFD"})", "a\u0301\u0316", "a\u0316\u0301"},
      {R"({"type": "NFC"})", "\u1112\u1161\u11ab", "\ud55c"},
      {R"({"type": "Lowercase"})", "\u00c5B\u0130", "\u00e5bi\u0307"},
      {R"({"type": "Strip", "strip_left": true, "strip_right": false})", "  a ", "a "},
      {R"({"type": "Strip", "strip_left": false, "strip_right": true})", "  a ", "  a"},
      {R"({"type": "StripAccents"})", "e\u0301a", "ea"},
      {R"({"type": "Prepend", "prepend": "_"})", "a", "_a"},
      {R"({"type": "Replace", "pattern": {"String": "a"}, "content": "bb"})", "aca", "bbcbb"},
      {R"({"type": "Replace", "pattern": {"Regex": " +"}, "content": "_"})", "a   b c", "a_b_c"},
      {R"({"type": "Nmt"})", "a\tb\u200bc\u0001", "a b c"},
      {R"({"type": "ByteLevel"})", "a b", "a\u0120b"},
      {R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]})",
       "\u00c9", "e"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(words_of(std::string(R"("normalizer": )") + row.node, row.text, {row.result}), row.result) << row.node;
  }
}

TEST(AddedTokens, AreFoundAsTheirFlagsSay) {
  struct Row {
    const char* flags;
    const char* text;
    const char* expected;
  };
  // WordLevel knows "a", "b", " " and "<t>"; all else is "?".
  const Row rows[] = {
      {"", "a<t>b", "a|<t>|b"},
      {"", "a <t> b", "?|<t>|?"},
      {R"(, "lstrip": true)", "a <t>b", "a|<t>|b"},
      {R"(, "rstrip": true)", "a<t>  b", "a|<t>|b"},
      {R"(, "rstrip": true, "lstrip": true)", "a \n<t>\t b", "a|<t>|b"},
      {R"(, "single_word": true)", "a<t>", "?"},
      {R"(, "single_word": true)", " <t> ", " |<t>| "},
      {R"(, "normalized": true)", "A<T>B", "a|<t>|b"},
      {R"(, "normalized": false)", "A<T>B", "?"},
  };
  for (const Row& row : rows) {
    const std::string members =
        R"("normalizer": {"type": "Lowercase"}, "added_tokens": [{"id": 4, "content": "<t>")" + std::string(row.flags) +
        (std::string(row.flags).find("normalized") == std::string::npos ? R"(, "normalized": false})" : "}") + "]";
    EXPECT_EQ(words_of(members, row.text, {"a", "b", " "}), row.expected) << row.flags << " " << row.text;
  }
}

TEST(AddedTokens, TheLongestWins) {
  const std::string members = R"("added_tokens": [{"id": 3, "content": "<a", "normalized": false},
      {"id": 4, "content": "<ab>", "normalized": false}, {"id": 5, "content": "b>", "normalized": false}])";
  EXPECT_EQ(words_of(members, "<ab><ab", {"a", "b"}), "<ab>|<a|b");
}

TEST(TokenizerConfig, NamesAddsAndMarks) {
  const std::string config = R"({
    "bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null,
    "added_tokens_decoder": {"3": {"content": "<s>", "special": true}, "7": {"content": "<tool>", "special": false}}})";
  const auto tokenizer = word_level(R"({"?": 0, "a": 1, "</s>": 2})", "", config);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->bos_id(), 3);
  EXPECT_EQ((*tokenizer)->eos_id(), 2);
  EXPECT_EQ((*tokenizer)->vocab_size(), 8u);
  EXPECT_EQ((*tokenizer)->token_text(5), "");
  EXPECT_EQ((*tokenizer)->encode("<s>a<tool></s>", true), (Ids{3, 1, 7, 2}));
  EXPECT_EQ((*tokenizer)->decode(Ids{3, 1, 7, 2}, true), "a <tool>");
  EXPECT_TRUE((*tokenizer)->is_special(2));
  EXPECT_FALSE((*tokenizer)->is_special(7));
  EXPECT_FALSE((*tokenizer)->is_special(-1));
  EXPECT_FALSE((*tokenizer)->is_special(99));
}

// As transformers 5.24's PreTrainedTokenizerFast.
TEST(TokenizerConfig, KeepsMarksAndFlags) {
  const std::string config = R"({"added_tokens_decoder": {"2": {"content": "<x>", "special": false}},
    "mask_token": {"content": "<m>", "lstrip": true}, "additional_special_tokens": [{"content": "<y>", "rstrip": true}]})";
  const auto tokenizer = word_level(
      R"({"?": 0, "a": 1, "<x>": 2, "<m>": 3, "<y>": 4})",
      R"("pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": [{"id": 2, "content": "<x>", "special": true}])",
      config);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_TRUE((*tokenizer)->is_special(2)) << "the config does not take tokenizer.json's mark back";
  EXPECT_EQ((*tokenizer)->encode("a  <m>a<y> a<x>", false), (Ids{1, 3, 1, 4, 1, 2}));
  const auto bare =
      word_level(R"({"?": 0, "a": 1, " ": 2, "<m>": 3})", "", R"({"mask_token": {"content": "<m>", "lstrip": true}})");
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_EQ((*bare)->encode("a <m>", false), (Ids{1, 3})) << "the blank is the token's";
}

TEST(TokenizerConfig, FlagsRuleForLlamasKinOnly) {
  const std::string vocab = R"({"?": 0, "a": 1, "<s>": 2, "</s>": 3})";
  const std::string names = R"("bos_token": "<s>", "eos_token": "</s>", )";
  const auto ids = [&](const std::string& rest) {
    const auto tokenizer = word_level(vocab, "", "{" + names + rest + "}");
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return (*tokenizer)->encode("a", true);
  };
  EXPECT_EQ(ids(R"("tokenizer_class": "LlamaTokenizerFast", "add_bos_token": true)"), (Ids{2, 1}));
  EXPECT_EQ(ids(R"("tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": true)"),
            (Ids{2, 1, 3}));
  EXPECT_EQ(ids(R"("tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": true)"), (Ids{1}));
}

TEST(PostProcessor, StandsAroundTheText) {
  const std::string vocab = R"({"?": 0, "a": 1, "<s>": 2, "</s>": 3})";
  const std::pair<const char*, Ids> rows[] = {
      {R"({"type": "BertProcessing", "cls": ["<s>", 2], "sep": ["</s>", 3]})", {2, 1, 3}},
      {R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "x"}}],
           "special_tokens": {"x": {"ids": [3, 2]}}})",
       {1, 3, 2}},
      {R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
           {"type": "RobertaProcessing", "cls": ["<s>", 2], "sep": ["</s>", 3]}]})",
       {2, 1, 3}},
  };
  for (const auto& [node, ids] : rows) {
    const auto tokenizer = word_level(vocab, std::string(R"("post_processor": )") + node);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_EQ((*tokenizer)->encode("a", true), ids) << node;
    EXPECT_EQ((*tokenizer)->encode("a", false), Ids{1}) << node;
  }
}

TEST(Bpe, UnknownCharactersFuseFallBackOrStand) {
  const auto ids = [](const std::string& options, const std::string& text) {
    const auto tokenizer = parse_tokenizer_json(
        R"({"model": {"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "<0xC3>": 4,
            "<0xA9>": 5, "##b": 6, "a$": 7, "##b$": 8, "ab$": 9}, )" +
            options + "}}",
        "", {});
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return (*tokenizer)->encode(text, false);
  };
  const std::string merges = R"("merges": ["a b"])";
  EXPECT_EQ(ids(merges, "abxxab"), (Ids{3, 0, 0, 3}));
  EXPECT_EQ(ids(merges + R"(, "fuse_unk": true)", "abxxab"), (Ids{3, 0, 3}));
  EXPECT_EQ(ids(merges + R"(, "byte_fallback": true)", "\u00e9x"), (Ids{4, 5, 0}));
  EXPECT_EQ(ids(R"("merges": [["a", "b"]])", "ab"), (Ids{3}));
  EXPECT_EQ(ids(R"("merges": [], "ignore_merges": true)", "ab"), (Ids{3}));
  EXPECT_EQ(ids(R"("merges": [], "ignore_merges": false)", "ab"), (Ids{1, 2}));
  EXPECT_EQ(ids(R"("merges": ["a ##b"], "continuing_subword_prefix": "##")", "ab"), (Ids{3}));
  EXPECT_EQ(ids(R"("merges": [], "end_of_word_suffix": "$")", "a"), (Ids{7}));
  EXPECT_EQ(ids(R"("merges": ["a ##b$"], "continuing_subword_prefix": "##", "end_of_word_suffix": "$")", "ab"),
            (Ids{9}));
}

// Two cuts of "000" behind "1" are equal in 64 bits; the first that is found wins, as in tokenizers. One bit less in a
// score would choose the other.
TEST(Unigram, BreaksTiesByTheFirst) {
  const auto tokenizer = parse_tokenizer_json(
      R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", -20], ["1", -9.1783475532926495],
          ["0", -8.7424612991001691], ["00", -4.6757566342651797]]}})",
      "", {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->encode("1000", false), (std::vector<TokenId>{1, 2, 3}));
}

TEST(Unigram, ARunOfUnknownTextMayBeAToken) {
  for (const bool bytes : {true, false}) {
    const auto tokenizer = parse_tokenizer_json(
        std::string(R"({"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": )") + (bytes ? "true" : "false") +
            R"(, "vocab": [["<unk>", 0], ["a", -1], ["<0x3C>", -9], ["<0x75>", -9], ["<0x6E>", -9], ["<0x6B>", -9],
                ["<0x3E>", -9]]}})",
        "", {});
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_EQ((*tokenizer)->encode("a<unk>a", false), (Ids{1, 0, 1}));
    const Ids spelled = bytes ? Ids{2, 3, 4, 5, 6, 2, 3, 4, 5, 6} : Ids{0};
    EXPECT_EQ((*tokenizer)->encode("<unk><unk>", false), spelled) << "as tokenizers has it";
  }
}

TEST(Unigram, FallsBackToBytes) {
  const auto tokenizer = parse_tokenizer_json(
      R"({"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true,
          "vocab": [["<unk>", 0], ["a", -1], ["ab", -1.5], ["b", -1], ["<0xC3>", -9], ["<0xA9>", -9]]},
          "decoder": {"type": "ByteFallback"}})",
      "", {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->encode("ab\u00e9\u00e8", false), (Ids{2, 0}));  // a run is one, and <0xA8> is missing
  EXPECT_EQ((*tokenizer)
                ->encode("ab\u00e9"
                         "b",
                         false),
            (Ids{2, 4, 5, 3}));
  EXPECT_EQ((*tokenizer)->decode(Ids{2, 4, 5, 3}, false),
            "ab\u00e9"
            "b");
}

TEST(Decoder, DecodesAsItsTypeSays) {
  struct Row {
    const char* node;
    Ids ids;
    const char* text;
  };
  const Row rows[] = {
      {R"({"type": "Fuse"})", {1, 2, 3}, "\u2581a\u2581b<0xC3>"},
      {R"({"type": "Metaspace"})", {1, 2}, "a b"},
      {R"({"type": "Metaspace", "prepend_scheme": "never"})", {1, 2}, " a b"},
      {R"({"type": "ByteFallback"})", {3, 4, 1}, "\u00e9\u2581a"},
      {R"({"type": "ByteFallback"})", {3, 3, 4, 4, 1}, "\ufffd\u00e9\ufffd\u2581a"},
      {R"({"type": "Strip", "content": "a", "start": 0, "stop": 1})", {1, 5}, "\u2581a"},
      {R"({"type": "Replace", "pattern": {"String": "a"}, "content": "o"})", {1, 5}, "\u2581ooo"},
      {R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
           {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})",
       {1, 2, 3, 4},
       "a b\u00e9"},
  };
  for (const Row& row : rows) {
    const auto tokenizer = word_level(R"({"?": 0, "\u2581a": 1, "\u2581b": 2, "<0xC3>": 3, "<0xA9>": 4, "aa": 5})",
                                      std::string(R"("decoder": )") + row.node);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_EQ((*tokenizer)->decode(row.ids, false), row.text) << row.node;
  }
}

}  // namespace
}  // namespace polymath::text
