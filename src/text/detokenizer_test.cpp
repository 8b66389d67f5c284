#include "text/detokenizer.h"

#include <random>

#include "text/counting_tokenizer_test.h"
#include "text/tokenizer/tokenizer_fixture.h"

namespace polymath::text {
namespace {

using Ids = std::vector<TokenId>;

struct Streamed {
  std::string text;
  std::string stop;
};

Streamed stream(const Tokenizer& tokenizer, const Ids& prompt, const Ids& ids, DetokenizerOptions options) {
  Detokenizer detokenizer(tokenizer, prompt, std::move(options));
  Streamed out;
  for (const TokenId id : ids) out.text += detokenizer.push(id);
  out.text += detokenizer.finish();
  out.stop = detokenizer.stop_met();
  return out;
}

TEST(Detokenizer, DeltasJoinToTheWholeOfEachCase) {
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    for (const auto& c : read_cases("tokenizers/" + kind + "/cases.json")) {
      for (const bool skip : {true, false}) {
        EXPECT_EQ(stream(*tokenizer, {}, c.ids, {.skip_special = skip}).text, tokenizer->decode(c.ids, skip))
            << kind << ": " << c.text;
      }
    }
  }
}

TEST(Detokenizer, DeltasJoinToTheWholeOfRandomIds) {
  std::mt19937 random(11);
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    for (int round = 0; round < 60; ++round) {
      Ids ids(random() % 200);
      // Now all of the vocabulary, now its first part, where the single bytes and special tokens are.
      const size_t range = round % 2 == 0 ? tokenizer->vocab_size() + 3 : 260;
      for (auto& id : ids) id = static_cast<TokenId>(random() % range);
      for (const bool skip : {true, false}) {
        EXPECT_EQ(stream(*tokenizer, {}, ids, {.skip_special = skip}).text, tokenizer->decode(ids, skip)) << kind;
      }
    }
  }
}

TEST(Detokenizer, BehindAPromptTheRestIsStreamed) {
  std::mt19937 random(12);
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    for (const auto& c : read_cases("tokenizers/" + kind + "/cases.json")) {
      if (c.ids.empty()) continue;
      const size_t cut = random() % c.ids.size();
      const Ids prompt(c.ids.begin(), c.ids.begin() + static_cast<ptrdiff_t>(cut));
      const Ids answer(c.ids.begin() + static_cast<ptrdiff_t>(cut), c.ids.end());
      const std::string before = tokenizer->decode(prompt, true), whole = tokenizer->decode(c.ids, true);
      if (before.ends_with("\xEF\xBF\xBD")) continue;  // the prompt ends within a character
      EXPECT_EQ(before + stream(*tokenizer, prompt, answer, {}).text, whole) << kind << ": " << c.text;
    }
  }
}

TEST(Detokenizer, HoldsAnIncompleteCharacterBack) {
  const auto tokenizer = load_kind("mixtral");
  const auto byte = [&](const char* name) { return id_of(*tokenizer, name); };
  Detokenizer detokenizer(*tokenizer, {}, {});
  EXPECT_EQ(detokenizer.push(byte("<0xF0>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0x9F>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0x98>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0x80>")), "\xF0\x9F\x98\x80");
  EXPECT_EQ(detokenizer.push(byte("<0x0A>")), "\n");  // a byte that is whole does not wait
  EXPECT_EQ(detokenizer.push(byte("<0xE6>")), "");
  EXPECT_EQ(detokenizer.finish(), "\xEF\xBF\xBD");
}

TEST(Detokenizer, ALongAnswerOfOneTokenStaysWhole) {
  for (const std::string kind : {"mixtral", "gpt2", "unigram"}) {
    const auto tokenizer = load_kind(kind);
    for (TokenId id = 0; id < 600; id += 7) {
      const Ids ids(100, id);
      EXPECT_EQ(stream(*tokenizer, {}, ids, {}).text, tokenizer->decode(ids, true)) << kind << " " << id;
    }
  }
}

TEST(Detokenizer, RunsOfAnyIdCostTheSame) {
  constexpr size_t kIds = 2000, kDecodedMost = 600;  // for each id
  for (const std::string kind : kTokenizerKinds) {
    const auto tokenizer = load_kind(kind);
    const auto beyond = static_cast<TokenId>(tokenizer->vocab_size()) + 7;  // no entry: no text
    for (const TokenId id : {beyond, TokenId{0}, TokenId{1}, TokenId{2}, TokenId{130}, TokenId{259}}) {
      for (const Ids& before : {tokenizer->encode("an answer ", false), tokenizer->encode("\xF0\x9F\x98\x80", false)}) {
        const CountingTokenizer counting(*tokenizer);
        Ids ids(before.begin(), before.end() - 1);
        ids.resize(ids.size() + kIds, id);
        ids.push_back(before.back());
        EXPECT_EQ(stream(counting, {}, ids, {.skip_special = false}).text, tokenizer->decode(ids, false)) << kind << id;
        EXPECT_LT(counting.decoded, ids.size() * kDecodedMost + 2 * ids.size()) << kind << " " << id;
      }
    }
  }
}

TEST(Detokenizer, StopsAtTheStopString) {
  const auto tokenizer = load_kind("gpt2");
  struct Row {
    const char* text;
    std::vector<std::string> stop;
    bool include;
    const char* expected;
    const char* met;
  };
  const Row rows[] = {
      {"Hello world. Bye.", {"world"}, false, "Hello ", "world"},
      {"Hello world. Bye.", {"world"}, true, "Hello world", "world"},
      {"Hello world. Bye.", {"lo wo"}, false, "Hel", "lo wo"},
      {"Hello world. Bye.", {"zzz", ""}, false, "Hello world. Bye.", ""},
      {"Hello world", {"world!"}, false, "Hello world", ""},
      {"aaab", {"aab"}, false, "a", "aab"},
      {"ababac", {"abac"}, false, "ab", "abac"},
      {"one two", {"two", "one two"}, false, "", "one two"},  // both end here: the longer
      {"abcd", {"abcd", "bc"}, false, "a", "bc"},             // the one that ends first
      {"x\n\ny", {"\n"}, false, "x", "\n"},
      {"caf\u00e9 \U0001f600!", {"\U0001f600"}, false, "caf\u00e9 ", "\U0001f600"},
      {"stop", {"stop"}, false, "", "stop"},
  };
  for (const Row& row : rows) {
    const auto ids = tokenizer->encode(row.text, false);
    const auto out = stream(*tokenizer, {}, ids, {.stop = row.stop, .include_stop = row.include});
    EXPECT_EQ(out.text, row.expected) << row.text;
    EXPECT_EQ(out.stop, row.met) << row.text;
  }
}

TEST(Detokenizer, NothingComesBehindAStop) {
  const auto tokenizer = load_kind("gpt2");
  Detokenizer detokenizer(*tokenizer, {}, {.stop = {"b"}});
  std::string text;
  for (const TokenId id : tokenizer->encode("abc", false)) text += detokenizer.push(id);
  EXPECT_EQ(text, "a");
  EXPECT_TRUE(detokenizer.stopped());
  EXPECT_EQ(detokenizer.push(id_of(*tokenizer, "c")), "");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, HoldsBackOnlyWhatCouldBeAStop) {
  const auto tokenizer = load_kind("gpt2");
  Detokenizer detokenizer(*tokenizer, {}, {.stop = {"xyz"}});
  const auto push = [&](const char* letter) { return detokenizer.push(id_of(*tokenizer, letter)); };
  EXPECT_EQ(push("a"), "a");
  EXPECT_EQ(push("x"), "");
  EXPECT_EQ(push("y"), "");
  EXPECT_EQ(push("x"), "xy");
  EXPECT_EQ(push("b"), "xb");
}

}  // namespace
}  // namespace polymath::text
