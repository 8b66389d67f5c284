#include "engine/replicas/chooser.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace polymath::engine {
namespace {

std::vector<int32_t> prompt_of(uint32_t seed, int n) {
  std::mt19937 random(seed);
  std::vector<int32_t> prompt(static_cast<size_t>(n));
  for (int32_t& id : prompt) id = static_cast<int32_t>(random() % 1000);
  return prompt;
}

TEST(PrefixBlocks, NameBeginnings) {
  const std::vector<int32_t> prompt = prompt_of(1, 50);
  const auto blocks = prefix_blocks(prompt, 16, "", -1);
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(prefix_blocks(std::span(prompt).first(40), 16, "", -1), std::vector(blocks.begin(), blocks.begin() + 2));
  std::vector<int32_t> other = prompt;
  other[20] = 7;
  const auto of_other = prefix_blocks(other, 16, "", -1);
  EXPECT_EQ(of_other[0], blocks[0]);
  EXPECT_NE(of_other[1], blocks[1]);
  EXPECT_NE(of_other[2], blocks[2]);  // a later block stands for all before it
  EXPECT_NE(prefix_blocks(prompt, 16, "salt", -1)[0], blocks[0]);
  EXPECT_NE(prefix_blocks(prompt, 16, "", 0)[0], blocks[0]);
}

struct Case {
  const char* what;
  std::vector<ReplicaState> replicas;
  int holder;  // of the prompt's beginning; -1: none
  std::vector<int> order;
};

TEST(ReplicaChooser, WeighsLoadAndPrefix) {
  const Case kCases[] = {
      {"all idle: the first", {{0, 0}, {0, 0}, {0, 0}}, -1, {0, 1, 2}},
      {"the lightest", {{3, 0}, {1, 0}, {2, 0}}, -1, {1, 2, 0}},
      {"a waiting request weighs four", {{4, 0}, {2, 1}}, -1, {0, 1}},
      {"the prefix's holder, as long as it is little busier", {{0, 0}, {4, 0}}, 1, {1, 0}},
      {"but not where it is much busier", {{0, 0}, {5, 0}}, 1, {0, 1}},
      {"under load the bound grows", {{20, 0}, {30, 0}}, 1, {1, 0}},
      {"and holds", {{20, 0}, {31, 0}}, 1, {0, 1}},
      {"a failed replica gets nothing", {{0, 0, false}, {9, 9}}, 0, {1}},
      {"none is left", {{0, 0, false}}, -1, {}},
  };
  const auto blocks = prefix_blocks(prompt_of(3, 64), 16, "", -1);
  for (const Case& c : kCases) {
    ReplicaChooser chooser(static_cast<int>(c.replicas.size()));
    if (c.holder >= 0) chooser.placed(blocks, c.holder);
    EXPECT_EQ(chooser.order(blocks, c.replicas), c.order) << c.what;
  }
}

TEST(ReplicaChooser, TakesTurnsWhereNothingElseDecides) {
  ReplicaChooser chooser(3);
  const std::vector<ReplicaState> idle(3);
  std::vector<int> chosen;
  for (uint32_t i = 0; i < 6; ++i) {
    const auto blocks = prefix_blocks(prompt_of(i, 32), 16, "", -1);
    chosen.push_back(chooser.order(blocks, idle).front());
    chooser.placed(blocks, chosen.back());
  }
  EXPECT_EQ(chosen, (std::vector<int>{0, 1, 2, 0, 1, 2}));
}

// Conversations come back to their replica, and a thousand requests are shared evenly.
TEST(ReplicaChooser, HoldsUnderEverySeed) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    ReplicaChooser chooser(4, 1 << 12);
    std::vector<ReplicaState> replicas(4);
    std::vector<std::vector<int32_t>> talks;
    int back = 0, again = 0;
    for (int i = 0; i < 1000; ++i) {
      const bool returns = !talks.empty() && random() % 2 == 0;
      if (!returns) talks.push_back(prompt_of(random(), 40));
      const size_t at = returns ? talks.size() - 1 - random() % std::min<size_t>(8, talks.size()) : talks.size() - 1;
      std::vector<int32_t>& talk = talks[at];
      const auto blocks = prefix_blocks(talk, 16, "", -1);
      const auto order = chooser.order(blocks, replicas);
      ASSERT_EQ(std::set<int>(order.begin(), order.end()).size(), 4u);
      again += returns;
      back += returns && chooser.matched(blocks, order.front()) >= 2;
      chooser.placed(blocks, order.front());
      ++replicas[static_cast<size_t>(order.front())].live;
      for (int n = 0; n < 20; ++n) talk.push_back(static_cast<int32_t>(random() % 1000));
      if (i < 40) continue;  // a steady load of 40
      for (size_t r = random() % 4;; r = (r + 1) % 4) {
        if (replicas[r].live == 0) continue;
        --replicas[r].live;
        break;
      }
    }
    EXPECT_GT(back, again * 8 / 10) << "seed " << seed;
    for (const ReplicaState& r : replicas) EXPECT_LE(r.live, 30) << "seed " << seed;
  }
}

TEST(ReplicaChooser, ForgetsTheOldestBlocks) {
  ReplicaChooser chooser(2, 8);
  const auto first = prefix_blocks(prompt_of(1, 64), 16, "", -1);
  chooser.placed(first, 1);
  EXPECT_EQ(chooser.matched(first, 1), 4);
  for (uint32_t i = 2; i < 20; ++i) chooser.placed(prefix_blocks(prompt_of(i, 64), 16, "", -1), 0);
  EXPECT_EQ(chooser.matched(first, 1), 0);
}

}  // namespace
}  // namespace polymath::engine
