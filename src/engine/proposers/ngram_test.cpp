#include <gtest/gtest.h>

#include <random>

#include "engine/proposers/proposer.h"

namespace polymath::engine {
namespace {

using Ids = std::vector<int32_t>;

Ids propose(const Ids& tokens, int min, int max, int n) {
  const auto proposer = find_proposer("ngram")->create({.method = "ngram", .lookup_min = min, .lookup_max = max});
  const Sequence sequence(tokens, static_cast<int>(tokens.size()) + 10, 16);
  proposer->begin_step();
  const auto drafts = proposer->propose(sequence, n);
  return {drafts.begin(), drafts.end()};
}

TEST(Ngram, ProposesWhatFollowedTheLongestMatch) {
  struct Case {
    const char* what;
    Ids tokens;
    int min, max, n;
    Ids drafts;
  };
  const Case cases[] = {
      {"one match", {1, 2, 3, 4, 5, 1, 2}, 1, 3, 2, {3, 4}},
      {"fewer than n follow", {1, 2, 9, 1, 2}, 2, 2, 5, {9, 1, 2}},
      {"the longer one wins", {5, 2, 8, 1, 2, 7, 3, 1, 2}, 1, 2, 1, {7}},
      {"of equal ones the earliest", {2, 6, 2, 7, 2}, 1, 1, 2, {6, 2}},
      {"shorter than min", {1, 2, 3, 9, 2}, 2, 3, 2, {}},
      {"no match", {1, 2, 3, 4}, 1, 3, 2, {}},
      {"a match that overlaps the suffix", {4, 4, 4, 4}, 1, 2, 3, {4, 4}},
      {"one token", {4}, 1, 2, 3, {}},
      {"longer than max is not looked for", {9, 1, 2, 5, 8, 1, 2, 6, 9, 1, 2}, 1, 2, 1, {5}},
  };
  for (const Case& c : cases) EXPECT_EQ(propose(c.tokens, c.min, c.max, c.n), c.drafts) << c.what;
}

// The reference: every length, every place.
Ids brute_force(const Ids& tokens, int min, int max, int most) {
  const int n = static_cast<int>(tokens.size());
  for (int length = max; length >= min; --length) {
    for (int at = 0; at + length < n; ++at) {
      if (!std::equal(tokens.begin() + at, tokens.begin() + at + length, tokens.end() - length)) continue;
      return {tokens.begin() + at + length, tokens.begin() + std::min(n, at + length + most)};
    }
  }
  return {};
}

TEST(Ngram, EqualsABruteForceSearch) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    Ids tokens(1 + random() % 40);
    for (auto& token : tokens) token = static_cast<int32_t>(random() % 3);
    const int min = 1 + static_cast<int>(random() % 3), max = min + static_cast<int>(random() % 4);
    EXPECT_EQ(propose(tokens, min, max, 4), brute_force(tokens, min, max, 4)) << testing::PrintToString(tokens);
  }
}

// Tokens that match nearly everywhere: the worst case of a naive search.
TEST(Ngram, LooksAtABoundedNumberOfTokensAStep) {
  const auto proposer = find_proposer("ngram")->create({.method = "ngram", .lookup_min = 1, .lookup_max = 64});
  const Sequence sequence(Ids(100000, 7), 100100, 16);
  proposer->begin_step();
  int n_proposed = 0;
  for (int i = 0; i < 1000; ++i) n_proposed += !proposer->propose(sequence, 4).empty();
  EXPECT_EQ(n_proposed, (1 << 17) / (1 << 14));
  proposer->begin_step();
  EXPECT_FALSE(proposer->propose(sequence, 4).empty());
}

TEST(Ngram, ChecksItsOptions) {
  const ProposerKind& kind = *find_proposer("ngram");
  struct Case {
    int min, max;
    bool ok;
  };
  for (const Case& c : {Case{1, 1, true}, {5, 5, true}, {1, 64, true}, {0, 3, false}, {4, 3, false}, {1, 65, false}}) {
    EXPECT_EQ(kind.check({.lookup_min = c.min, .lookup_max = c.max}).ok(), c.ok) << c.min << " " << c.max;
  }
  EXPECT_EQ(find_proposer("medusa"), nullptr);
}

}  // namespace
}  // namespace polymath::engine
