#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

namespace polymath::engine {
namespace {

constexpr int kBlock = 16;

// The parameter: steps in flight at most.
class SchedulerAtDepth : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Steps, SchedulerAtDepth, ::testing::Values(1, 2));

// A scheduler and its sequences. A step is planned, checked and committed; each sequence that samples gets a token.
class Harness {
 public:
  explicit Harness(SchedulerLimits limits) : scheduler(limits), limits_(limits) {}

  int mixed_max = 0;  // of the next steps

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

  // Tokens of each sequence in the step, in order of arrival; 0: not in it. At a depth of 2, the tokens of the previous
  // step arrive after this one is committed.
  std::vector<int> step() {
    const StepPlan plan = scheduler.plan({.mixed_prefill_max = mixed_max});
    scheduler.check_invariants();
    std::vector<int> out(sequences_.size());
    int rows = 0;
    for (const auto& [s, n, n_draft] : plan.items) {
      out[s->arrival] = n;
      total += n;
      for (int i = 0; i < n; ++i) rows += s->wants_logits(s->computed_len + i);
    }
    EXPECT_LE(rows, limits_.sequences_max);
    EXPECT_LE(std::accumulate(out.begin(), out.end(), 0), limits_.step_tokens_max);
    n_preempted = plan.preempted.size();
    scheduler.commit(plan);
    in_flight_.emplace_back();
    for (const auto& [s, n, n_draft] : plan.items) {
      const bool samples = s->computed_len == s->length();
      s->n_unknown += samples;
      in_flight_.back().push_back({s, samples});
    }
    scheduler.check_invariants();
    if (static_cast<int>(in_flight_.size()) == depth()) settle_first();
    return out;
  }

  // Finishes the steps in flight.
  void settle() {
    while (!in_flight_.empty()) settle_first();
  }
  void finish(Sequence& s) {
    for (auto& flight : in_flight_) std::erase_if(flight, [&](const auto& item) { return item.first == &s; });
    scheduler.finish(s);
  }
  static int depth() { return SchedulerAtDepth::GetParam(); }

  int64_t total = 0;
  size_t n_preempted = 0;
  Scheduler scheduler;

 private:
  void settle_first() {
    const auto flight = std::move(in_flight_.front());
    in_flight_.erase(in_flight_.begin());
    for (const auto& [s, samples] : flight) {
      s->logits_from = std::max(s->logits_from, std::min(s->computed_len, s->prompt_len - 1));
      if (!samples) continue;
      --s->n_unknown;
      s->tokens.push_back(1000 + static_cast<int>(s->arrival));
      scheduler.accept(*s, 0);
      if (s->token_len() == s->token_len_max) finish(*s);
    }
    scheduler.check_invariants();
  }
  const SchedulerLimits limits_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  std::vector<std::vector<std::pair<Sequence*, bool>>> in_flight_;  // and whether it gets a token
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

TEST_P(SchedulerAtDepth, DecodesComeFirstThenStartedPrefillsThenTheWaiting) {
  Harness harness(limits());
  harness.add(prompt(40, 1));
  EXPECT_EQ(harness.step(), (Tokens{40}));
  harness.add(prompt(150, 2));
  harness.add(prompt(20, 3));
  EXPECT_EQ(harness.step(), (Tokens{1, 99, 0}));
  EXPECT_EQ(harness.step(), (Tokens{1, 51, 20}));
  EXPECT_EQ(harness.step(), (Tokens{1, 1, 1}));
}

TEST_P(SchedulerAtDepth, PrefillsBesideDecodesHaveTheirOwnLimit) {
  auto l = limits();
  Harness harness(l);
  harness.mixed_max = 30;
  harness.add(prompt(90, 1));
  EXPECT_EQ(harness.step(), (Tokens{90})) << "nothing decodes yet";
  harness.add(prompt(40, 2));
  EXPECT_EQ(harness.step(), (Tokens{1, 30}));
  EXPECT_EQ(harness.step(), (Tokens{1, 10}));
}

TEST_P(SchedulerAtDepth, SequencesMaxHoldsTheOthersBack) {
  auto l = limits();
  l.sequences_max = 2;
  Harness harness(l);
  for (int i = 0; i < 3; ++i) harness.add(prompt(5, i + 1), 2);
  EXPECT_EQ(harness.step(), (Tokens{5, 5, 0}));
  EXPECT_EQ(harness.step(), (Tokens{1, 1, 0}));
  if (Harness::depth() > 1) {
    EXPECT_EQ(harness.step(), (Tokens{0, 0, 0})) << "their last tokens are in flight";
  }
  EXPECT_EQ(harness.step(), (Tokens{0, 0, 5}));
}

TEST_P(SchedulerAtDepth, PriorityGoesBeforeArrival) {
  auto l = limits();
  l.policy = find_policy("priority");
  l.sequences_max = 1;
  Harness harness(l);
  harness.add(prompt(5, 1), 1, 3);
  harness.add(prompt(6, 2), 1, -1);
  harness.add(prompt(7, 3), 1, -1);
  EXPECT_EQ(harness.step(), (Tokens{0, 6, 0}));
  harness.settle();
  EXPECT_EQ(harness.step(), (Tokens{0, 0, 7}));
  harness.settle();
  EXPECT_EQ(harness.step(), (Tokens{5, 0, 0}));
}

TEST_P(SchedulerAtDepth, RefusesWhatCouldNeverFitAndAFullQueue) {
  Harness harness(limits(4));
  Sequence large(prompt(40), 40 + 26, kBlock), small(prompt(40), 40 + 25, kBlock);
  EXPECT_EQ(harness.scheduler.admit(large).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(harness.scheduler.admit(small).ok()) << "the last token needs no room";
  auto l = limits();
  l.waiting_max = 1;
  Harness full(l);
  full.add(prompt(3));
  Sequence next(prompt(3), 5, kBlock);
  EXPECT_EQ(full.scheduler.admit(next).code(), absl::StatusCode::kResourceExhausted);
}

TEST_P(SchedulerAtDepth, AnEndedPromptIsFoundAgainButForItsLastToken) {
  Harness harness(limits());
  harness.add(prompt(64), 1);
  harness.step();
  Sequence& again = harness.add(prompt(64), 1);
  EXPECT_EQ(harness.step()[1], 16) << "a whole block, since its last token has to be computed";
  EXPECT_EQ(again.cached_len, 48);
  harness.add(prompt(65), 1);
  EXPECT_EQ(harness.step()[2], 1);
  EXPECT_EQ(harness.scheduler.counts().cache_hits, 48u + 64u);
  EXPECT_EQ(harness.scheduler.counts().cache_queries, 64u + 64u + 65u);
}

TEST_P(SchedulerAtDepth, WithoutCachingNothingIsShared) {
  auto l = limits();
  l.prefix_caching = false;
  Harness harness(l);
  harness.add(prompt(64), 1);
  harness.step();
  harness.add(prompt(64), 1);
  EXPECT_EQ(harness.step()[1], 64);
}

TEST_P(SchedulerAtDepth, EightPromptsThatArriveTogetherComputeTheirPrefixOnce) {
  for (const int step_tokens : {2048, 512, 100}) {
    auto l = limits(1024);
    l.step_tokens_max = step_tokens;
    Harness harness(l);
    for (int i = 0; i < 8; ++i) {
      auto p = prompt(1024);
      for (int at = 900; at < 1024; ++at) p[at] = (i + 1) * 1000000 + at;
      harness.add(std::move(p), 2);
    }
    int64_t steps = 0;
    while (harness.scheduler.n_running() + harness.scheduler.n_waiting() > 0 && ++steps < 200) harness.step();
    EXPECT_LE(harness.total - 8, 1024 + 7 * (1024 - 896)) << "decodes aside";
  }
}

TEST_P(SchedulerAtDepth, WhenTheOwnerOfAPrefixGoesTheOthersGoOn) {
  auto l = limits();
  l.step_tokens_max = 32;
  Harness harness(l);
  Sequence& owner = harness.add(prompt(100), 1);
  harness.add(prompt(101), 1);
  harness.add(prompt(50, 7), 1);
  EXPECT_EQ(harness.step(), (Tokens{32, 0, 0}));
  harness.finish(owner);
  harness.scheduler.check_invariants();
  EXPECT_EQ(harness.step(), (Tokens{0, 32, 0})) << "with the two blocks that were ready";
  EXPECT_EQ(harness.step(), (Tokens{0, 32, 0}));
  EXPECT_EQ(harness.step(), (Tokens{0, 5, 27}));
}

TEST_P(SchedulerAtDepth, ASequenceThatWaitsForAPrefixLetsOthersPass) {
  auto l = limits();
  l.step_tokens_max = 60;
  Harness harness(l);
  harness.add(prompt(80), 4);
  harness.add(prompt(81), 4);
  harness.add(prompt(10, 9), 4);
  EXPECT_EQ(harness.step(), (Tokens{60, 0, 0}));
  EXPECT_EQ(harness.step(), (Tokens{20, 0, 10}));
  EXPECT_EQ(harness.step(), (Tokens{1, 1, 1}));
}

TEST_P(SchedulerAtDepth, TheLastToComeLosesItsBlocksAndComputesItsOutputAnew) {
  auto l = limits(6);
  l.prefix_caching = false;
  Harness harness(l);
  Sequence& first = harness.add(prompt(31, 1), 50);
  Sequence& second = harness.add(prompt(30, 2), 30);
  EXPECT_EQ(harness.step(), (Tokens{31, 30}));
  while (harness.n_preempted == 0) harness.step();
  EXPECT_EQ(second.computed_len, 0);
  EXPECT_TRUE(second.blocks.empty());
  const int kept = second.length();
  EXPECT_GT(kept, 30);
  while (second.computed_len == 0) harness.step();
  harness.settle();
  EXPECT_EQ(first.token_len(), first.token_len_max) << "it had no room before the first ended";
  EXPECT_EQ(second.token_len(), kept + 1);
  EXPECT_EQ(harness.scheduler.counts().preemptions, 1u);
}

TEST_P(SchedulerAtDepth, LogitsOfThePromptSkipTheCacheAndComeInBoundedRows) {
  Harness harness(limits());
  harness.add(prompt(64), 1);
  harness.step();
  harness.settle();
  harness.add(prompt(64), 2, 0, true);
  int steps = 0;
  for (int computed = 0; computed < 64; ++steps) computed += harness.step()[1];
  EXPECT_EQ(steps, 64 / 8);
}

TEST_P(SchedulerAtDepth, CancellingAWaitingSequenceIsClean) {
  Harness harness(limits());
  Sequence& one = harness.add(prompt(20, 1));
  Sequence& two = harness.add(prompt(20, 2));
  harness.finish(two);
  EXPECT_EQ(harness.step(), (Tokens{20, 0}));
  harness.finish(one);
  harness.scheduler.check_invariants();
  EXPECT_EQ(harness.scheduler.n_blocks_held(), 0);
}

TEST(Scheduler, ABlockIsSharedOnceItsTokensAreKnownAndComputed) {
  Scheduler scheduler(limits());
  Sequence one(prompt(15), 40, kBlock), two(prompt(17), 40, kBlock);
  two.arrival = 1;
  two.tokens[15] = 7;
  kvcache::BlockHasher hasher(scheduler.cache_seed());
  for (Sequence* s : {&one, &two}) s->hash_prompt(hasher, "", kBlock);
  ASSERT_TRUE(scheduler.admit(one).ok());
  const auto start = [&](int n_items) {
    const StepPlan plan = scheduler.plan();
    ASSERT_EQ(plan.items.size(), static_cast<size_t>(n_items));
    scheduler.commit(plan);
    scheduler.check_invariants();
  };
  start(1);
  ++one.n_unknown;
  start(1);  // computes the token that fills the block, whatever it is
  ++one.n_unknown;
  EXPECT_EQ(one.computed_len, 16);
  EXPECT_TRUE(one.digests.empty());
  one.tokens.push_back(7);
  --one.n_unknown;
  scheduler.accept(one, 0);
  scheduler.check_invariants();
  EXPECT_EQ(one.digests.size(), 1u);
  ASSERT_TRUE(scheduler.admit(two).ok());
  start(2);
  EXPECT_EQ(two.cached_len, 16);
  scheduler.finish(one);
  scheduler.finish(two);
  scheduler.check_invariants();
}

TEST(Policy, NamesAreFoundAndOthersAreNot) {
  EXPECT_EQ(find_policy("fcfs"), &policies()[0]);
  EXPECT_NE(find_policy("priority"), nullptr);
  EXPECT_EQ(find_policy("lifo"), nullptr);
}

}  // namespace
}  // namespace polymath::engine
