#include "kvcache/prefix_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace polymath::kvcache {
namespace {

Digest of(BlockHasher& hasher, const Digest& before, std::vector<int32_t> tokens) {
  return hasher.next(before, tokens);
}

TEST(BlockHasher, DependsOnTokensParentSaltAdapterAndSeed) {
  PrefixCache a(4), b(4);
  BlockHasher in_a(a.seed()), again(a.seed()), in_b(b.seed());
  const Digest base = of(in_a, in_a.root(""), {1, 2});
  EXPECT_EQ(base, of(again, again.root(""), {1, 2}));
  EXPECT_NE(base, of(in_a, in_a.root(""), {1, 3}));
  EXPECT_NE(base, of(in_a, in_a.root("tenant"), {1, 2}));
  EXPECT_EQ(base, of(in_a, in_a.root("", -1), {1, 2}));
  EXPECT_NE(base, of(in_a, in_a.root("", 0), {1, 2}));
  EXPECT_NE(in_a.root("", 0), in_a.root("", 1));
  EXPECT_NE(base, of(in_b, in_b.root(""), {1, 2}));
  EXPECT_NE(of(in_a, base, {5, 6}), of(in_a, of(in_a, in_a.root(""), {9, 9}), {5, 6}));
}

TEST(PrefixCache, FindsWhatWasAddedUntilItIsForgotten) {
  PrefixCache cache(4);
  BlockHasher hasher(cache.seed());
  const Digest d = of(hasher, hasher.root(""), {1});
  EXPECT_EQ(cache.find(d), -1);
  EXPECT_TRUE(cache.add(d, 2, false));
  EXPECT_EQ(cache.find(d), 2);
  EXPECT_FALSE(cache.ready(2));
  cache.set_ready(2);
  EXPECT_TRUE(cache.ready(2));
  EXPECT_FALSE(cache.add(d, 3, true)) << "the first block keeps the name";
  EXPECT_FALSE(cache.known(3));
  cache.forget(2);
  cache.forget(3);
  EXPECT_EQ(cache.find(d), -1);
  cache.check_invariants();
}

// Digests made by hand share their first bytes, so that every entry collides.
TEST(PrefixCache, SurvivesCollisionsAndDeletionsLikeAMap) {
  constexpr int kBlocks = 24;
  PrefixCache cache(kBlocks);
  std::map<int, int32_t> model;  // key -> block
  std::mt19937 random(3);
  const auto digest = [](int key) {
    Digest d{};
    d[0] = static_cast<uint8_t>(60 + key % 5);  // homes lie close together and wrap around the table's end
    d[9] = static_cast<uint8_t>(key);
    return d;
  };
  for (int step = 0; step < 30000; ++step) {
    const int32_t block = random() % kBlocks;
    const int key = random() % 60;
    if (cache.known(block)) {
      std::erase_if(model, [&](const auto& entry) { return entry.second == block; });
      cache.forget(block);
    } else {
      EXPECT_EQ(cache.add(digest(key), block, true), model.emplace(key, block).second);
    }
    const auto found = model.find(key);
    EXPECT_EQ(cache.find(digest(key)), found == model.end() ? -1 : found->second);
    if (step % 97 == 0) cache.check_invariants();
  }
}

}  // namespace
}  // namespace polymath::kvcache
