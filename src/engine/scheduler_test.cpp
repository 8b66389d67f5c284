#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

namespace polymath::engine {
namespace {

constexpr int kBlock = 16;

// A scheduler and its sequences; a step is planned, checked and committed, and every sequence that is due gets a token.
class House {
 public:
  explicit House(SchedulerLimits limits) : scheduler(limits), limits_(limits) {}

  Sequence& add(std::vector<int32_t> prompt, int output_max = 8, int priority = 0, bool logits_of_prompt = false) {
    const int length_max = static_cast<int>(prompt.size()) + output_max;
    auto s = std::make_unique<Sequence>(std::move(prompt), length_max, kBlock);
    s->arrival = sequences_.size();
    s->priority = priority;
    if (logits_of_prompt) s->logits_from = 0;
    kvcache::BlockHasher hasher(scheduler.cache_seed());
    if (limits_.prefix_caching) s->hash_prompt(hasher, "", kBlock);
    EXPECT_TRUE(scheduler.admit(*s).ok());
    sequences_.push_back(std::move(s));
    return *sequences_.back();
  }

  // Tokens of each sequence in the step, in order of arrival; 0: not in it.
  std::vector<int> step() {
    const StepPlan plan = scheduler.plan();
    scheduler.check_invariants();
    std::vector<int> out(sequences_.size());
    int rows = 0;
    for (const auto& [s, n] : plan.items) {
      out[s->arrival] = n;
      total += n;
      for (int i = 0; i < n; ++i) rows += s->wants_logits(s->computed_len + i);
    }
    EXPECT_LE(rows, limits_.sequences_max);
    EXPECT_LE(std::accumulate(out.begin(), out.end(), 0), limits_.step_tokens_max);
    n_preempted = plan.preempted.size();
    scheduler.commit(plan);
    for (const auto& [s, n] : plan.items) settle(*s);
    scheduler.check_invariants();
    return out;
  }

  int64_t total = 0;
  size_t n_preempted = 0;
  Scheduler scheduler;

 private:
  void settle(Sequence& s) {
    s.logits_from = std::max(s.logits_from, std::min(s.computed_len, s.prompt_len - 1));
    if (s.remaining() > 0) return;
    s.tokens.push_back(1000 + static_cast<int>(s.arrival));
    if (s.token_len() == s.token_len_max) scheduler.finish(s);
  }
  const SchedulerLimits limits_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

SchedulerLimits limits(int64_t n_blocks = 64) {
  return {.block_size = kBlock, .n_blocks = n_blocks, .sequences_max = 8, .step_tokens_max = 100, .waiting_max = 16};
}

std::vector<int32_t> prompt(int n, int first = 0) {
  std::vector<int32_t> out(n);
  std::iota(out.begin(), out.end(), first * 100000);
  return out;
}

using Tokens = std::vector<int>;

TEST(Scheduler, DecodesComeFirstThenStartedPrefillsThenTheWaiting) {
  House house(limits());
  house.add(prompt(40, 1));
  EXPECT_EQ(house.step(), (Tokens{40}));
  house.add(prompt(150, 2));
  house.add(prompt(20, 3));
  EXPECT_EQ(house.step(), (Tokens{1, 99, 0}));
  EXPECT_EQ(house.step(), (Tokens{1, 51, 20}));
  EXPECT_EQ(house.step(), (Tokens{1, 1, 1}));
}

TEST(Scheduler, PrefillsBesideDecodesHaveTheirOwnLimit) {
  auto l = limits();
  l.mixed_prefill_tokens_max = 30;
  House house(l);
  house.add(prompt(90, 1));
  EXPECT_EQ(house.step(), (Tokens{90})) << "nothing decodes yet";
  house.add(prompt(40, 2));
  EXPECT_EQ(house.step(), (Tokens{1, 30}));
  EXPECT_EQ(house.step(), (Tokens{1, 10}));
}

TEST(Scheduler, SequencesMaxHoldsTheOthersBack) {
  auto l = limits();
  l.sequences_max = 2;
  House house(l);
  for (int i = 0; i < 3; ++i) house.add(prompt(5, i + 1), 2);
  EXPECT_EQ(house.step(), (Tokens{5, 5, 0}));
  EXPECT_EQ(house.step(), (Tokens{1, 1, 0}));
  EXPECT_EQ(house.step(), (Tokens{0, 0, 5}));
}

TEST(Scheduler, PriorityGoesBeforeArrival) {
  auto l = limits();
  l.policy = find_policy("priority");
  l.sequences_max = 1;
  House house(l);
  house.add(prompt(5, 1), 1, 3);
  house.add(prompt(6, 2), 1, -1);
  house.add(prompt(7, 3), 1, -1);
  EXPECT_EQ(house.step(), (Tokens{0, 6, 0}));
  EXPECT_EQ(house.step(), (Tokens{0, 0, 7}));
  EXPECT_EQ(house.step(), (Tokens{5, 0, 0}));
}

TEST(Scheduler, RefusesWhatCouldNeverFitAndAFullQueue) {
  House house(limits(4));
  Sequence large(prompt(40), 40 + 26, kBlock), small(prompt(40), 40 + 25, kBlock);
  EXPECT_EQ(house.scheduler.admit(large).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(house.scheduler.admit(small).ok()) << "the last token needs no room";
  auto l = limits();
  l.waiting_max = 1;
  House full(l);
  full.add(prompt(3));
  Sequence next(prompt(3), 5, kBlock);
  EXPECT_EQ(full.scheduler.admit(next).code(), absl::StatusCode::kResourceExhausted);
}

TEST(Scheduler, AnEndedPromptIsFoundAgainButForItsLastToken) {
  House house(limits());
  house.add(prompt(64), 1);
  house.step();
  Sequence& again = house.add(prompt(64), 1);
  EXPECT_EQ(house.step()[1], 16) << "a whole block, since its last token has to be computed";
  EXPECT_EQ(again.cached_len, 48);
  house.add(prompt(65), 1);
  EXPECT_EQ(house.step()[2], 1);
  EXPECT_EQ(house.scheduler.counts().cache_hits, 48u + 64u);
  EXPECT_EQ(house.scheduler.counts().cache_queries, 64u + 64u + 65u);
}

TEST(Scheduler, WithoutCachingNothingIsShared) {
  auto l = limits();
  l.prefix_caching = false;
  House house(l);
  house.add(prompt(64), 1);
  house.step();
  house.add(prompt(64), 1);
  EXPECT_EQ(house.step()[1], 64);
}

TEST(Scheduler, EightPromptsThatArriveTogetherComputeTheirPrefixOnce) {
  for (const int step_tokens : {2048, 512, 100}) {
    auto l = limits(1024);
    l.step_tokens_max = step_tokens;
    House house(l);
    for (int i = 0; i < 8; ++i) {
      auto p = prompt(1024);
      for (int at = 900; at < 1024; ++at) p[at] = (i + 1) * 1000000 + at;
      house.add(std::move(p), 2);
    }
    int64_t steps = 0;
    while (house.scheduler.n_running() + house.scheduler.n_waiting() > 0 && ++steps < 200) house.step();
    EXPECT_LE(house.total - 8, 1024 + 7 * (1024 - 896)) << "decodes aside";
  }
}

TEST(Scheduler, WhenTheOwnerOfAPrefixGoesTheOthersGoOn) {
  auto l = limits();
  l.step_tokens_max = 32;
  House house(l);
  Sequence& owner = house.add(prompt(100), 1);
  house.add(prompt(101), 1);
  house.add(prompt(50, 7), 1);
  EXPECT_EQ(house.step(), (Tokens{32, 0, 0}));
  house.scheduler.finish(owner);
  house.scheduler.check_invariants();
  EXPECT_EQ(house.step(), (Tokens{0, 32, 0})) << "with the two blocks that were ready";
  EXPECT_EQ(house.step(), (Tokens{0, 32, 0}));
  EXPECT_EQ(house.step(), (Tokens{0, 5, 27}));
}

TEST(Scheduler, WhoeverWaitsForAPrefixLetsOthersPass) {
  auto l = limits();
  l.step_tokens_max = 60;
  House house(l);
  house.add(prompt(80), 4);
  house.add(prompt(81), 4);
  house.add(prompt(10, 9), 4);
  EXPECT_EQ(house.step(), (Tokens{60, 0, 0}));
  EXPECT_EQ(house.step(), (Tokens{20, 0, 10}));
  EXPECT_EQ(house.step(), (Tokens{1, 1, 1}));
}

TEST(Scheduler, TheLastToComeLosesItsBlocksAndComputesItsOutputAnew) {
  auto l = limits(6);
  l.prefix_caching = false;
  House house(l);
  Sequence& first = house.add(prompt(31, 1), 50);
  Sequence& second = house.add(prompt(30, 2), 30);
  EXPECT_EQ(house.step(), (Tokens{31, 30}));
  while (house.n_preempted == 0) house.step();
  EXPECT_EQ(second.computed_len, 0);
  EXPECT_TRUE(second.blocks.empty());
  const int kept = second.token_len();
  EXPECT_GT(kept, 30);
  while (second.computed_len == 0) house.step();
  EXPECT_EQ(first.token_len(), first.token_len_max) << "it had no room before the first ended";
  EXPECT_EQ(second.token_len(), kept + 1);
  EXPECT_EQ(house.scheduler.counts().preemptions, 1u);
}

TEST(Scheduler, LogitsOfThePromptSkipTheCacheAndComeInBoundedRows) {
  House house(limits());
  house.add(prompt(64), 1);
  house.step();
  house.add(prompt(64), 2, 0, true);
  int steps = 0;
  for (int computed = 0; computed < 64; ++steps) computed += house.step()[1];
  EXPECT_EQ(steps, 64 / 8);
}

TEST(Scheduler, CancellingAWaitingSequenceIsClean) {
  House house(limits());
  Sequence& one = house.add(prompt(20, 1));
  Sequence& two = house.add(prompt(20, 2));
  house.scheduler.finish(two);
  EXPECT_EQ(house.step(), (Tokens{20, 0}));
  house.scheduler.finish(one);
  house.scheduler.check_invariants();
  EXPECT_EQ(house.scheduler.n_blocks_held(), 0);
}

TEST(Policy, NamesAreFoundAndOthersAreNot) {
  EXPECT_EQ(find_policy("fcfs"), &policies()[0]);
  EXPECT_NE(find_policy("priority"), nullptr);
  EXPECT_EQ(find_policy("lifo"), nullptr);
}

}  // namespace
}  // namespace polymath::engine
