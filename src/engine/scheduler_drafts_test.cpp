// Draft tokens and recurrent states in the scheduler's plans.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>

#include "engine/scheduler.h"

namespace polymath::engine {
namespace {

constexpr int kBlock = 16;

// A scheduler and sequences whose steps run one at a time.
class Harness {
 public:
  explicit Harness(SchedulerLimits limits) : scheduler(limits), limits_(limits) {}

  Sequence& add(int n_prompt, int first, int output_max = 40) {
    std::vector<int32_t> prompt(n_prompt);
    std::iota(prompt.begin(), prompt.end(), first * 100000);
    sequences_.push_back(std::make_unique<Sequence>(std::move(prompt), n_prompt + output_max, kBlock));
    Sequence& s = *sequences_.back();
    s.arrival = sequences_.size();
    kvcache::BlockHasher hasher(scheduler.cache_seed());
    if (limits_.prefix_caching) s.hash_prompt(hasher, "", kBlock);
    EXPECT_TRUE(scheduler.admit(s).ok());
    return s;
  }

  const StepPlan& plan() {
    plan_ = scheduler.plan();
    scheduler.check_invariants();
    return plan_;
  }
  const StepPlan& current() const { return plan_; }
  // Runs the plan. Each sequence that samples accepts its first `n_accepted` drafts and gets one token more.
  void run(int n_accepted = 0) {
    scheduler.commit(plan_);
    scheduler.check_invariants();
    const std::vector<StepItem> items(plan_.items.begin(), plan_.items.end());
    for (const StepItem& item : items) {
      Sequence& s = *item.sequence;
      if (s.computed_len != s.length()) continue;
      const int n = std::min(n_accepted, item.n_draft);
      s.tokens.insert(s.tokens.end(), s.drafts.begin(), s.drafts.begin() + n);
      s.tokens.push_back(7);
      scheduler.accept(s, n);
      s.drafts.clear();
      scheduler.check_invariants();
    }
  }
  void step(int n_accepted = 0) {
    plan();
    run(n_accepted);
  }
  // {tokens, drafts} of a sequence in the plan; {0, 0}: not in it.
  std::pair<int, int> planned(const Sequence& s) const {
    for (const StepItem& item : plan_.items) {
      if (item.sequence == &s) return {item.n_tokens, item.n_draft};
    }
    return {0, 0};
  }

  Scheduler scheduler;

 private:
  const SchedulerLimits limits_;
  StepPlan plan_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

using Planned = std::pair<int, int>;

SchedulerLimits limits() {
  return {.block_size = kBlock,
          .n_blocks = 64,
          .sequences_max = 8,
          .step_tokens_max = 100,
          .logit_rows_max = 40,
          .n_draft_max = 6,
          .waiting_max = 16};
}

TEST(Drafts, FollowTheDecodeAndAreAccepted) {
  Harness h(limits());
  Sequence& s = h.add(20, 1);
  s.drafts = {1, 2};
  h.plan();
  EXPECT_EQ(h.planned(s), Planned(20, 0)) << "a prefill has none";
  h.run();
  EXPECT_EQ(s.token_len(), 21);
  s.drafts = {1, 2, 3, 4};
  h.plan();
  EXPECT_EQ(h.planned(s), Planned(5, 4));
  h.run(2);
  EXPECT_EQ(s.token_len(), 24);
  EXPECT_EQ(s.computed_len, 23) << "the sampled token has yet to be computed";
  h.plan();
  EXPECT_EQ(h.planned(s), Planned(1, 0));
}

TEST(Drafts, AreCutToEveryLimit) {
  struct Case {
    const char* what;
    std::function<void(SchedulerLimits&)> set;
    int output_max, n_draft;
  };
  const Case cases[] = {
      {"n_draft_max", [](auto&) {}, 40, 6},
      {"no speculation", [](auto& l) { l.n_draft_max = 0; }, 40, 0},
      {"tokens", [](auto& l) { l.step_tokens_max = 4; }, 40, 3},
      {"rows", [](auto& l) { l.logit_rows_max = 8; }, 40, 6},
      {"rows of one sequence", [](auto& l) { l.sequences_max = l.logit_rows_max = 1; }, 40, 0},
      {"rows for two", [](auto& l) { l.sequences_max = 1, l.logit_rows_max = 3; }, 40, 2},
      {"the length", [](auto&) {}, 5, 3},
  };
  for (const Case& c : cases) {
    SchedulerLimits l = limits();
    c.set(l);
    Harness h(l);
    Sequence& s = h.add(4, 1, c.output_max);
    h.step();
    s.drafts = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    h.plan();
    EXPECT_EQ(h.planned(s), Planned(1 + c.n_draft, c.n_draft)) << c.what;
  }
}

TEST(Drafts, YieldToPrefillsAndNewcomers) {
  SchedulerLimits l = limits();
  l.step_tokens_max = 50;
  Harness h(l);
  Sequence& s = h.add(10, 1);
  h.step();
  Sequence& other = h.add(60, 2);
  s.drafts = {1, 2, 3};
  h.plan();
  EXPECT_EQ(h.planned(s), Planned(1, 0));
  EXPECT_EQ(h.planned(other), Planned(49, 0));
  h.run();
  s.drafts = {1, 2, 3};
  h.plan();
  EXPECT_EQ(h.planned(other), Planned(11, 0));
  EXPECT_EQ(h.planned(s), Planned(4, 3));
}

TEST(Drafts, TakeFreeBlocksOnlyAndGiveThemBack) {
  SchedulerLimits l = limits();
  l.n_blocks = 4;
  l.prefix_caching = false;
  Harness h(l);
  Sequence& one = h.add(14, 1, 30);
  Sequence& two = h.add(30, 2, 30);
  h.step();
  ASSERT_EQ(h.scheduler.n_blocks_held(), 3);
  one.drafts = two.drafts = {1, 2, 3, 4};
  h.plan();
  EXPECT_EQ(h.planned(one), Planned(5, 4)) << "the last free block";
  EXPECT_EQ(h.planned(two), Planned(2, 1)) << "as far as its own block reaches";
  EXPECT_EQ(h.scheduler.n_blocks_held(), 4);
  EXPECT_EQ(h.scheduler.counts().preemptions, 0u);
  h.run(0);
  EXPECT_EQ(one.token_len(), 16);
  EXPECT_EQ(h.scheduler.n_blocks_held(), 3) << "its last token fits the first block";
  one.drafts = {1, 2, 3};
  h.plan();
  h.run(3);
  EXPECT_EQ(one.token_len(), 20);
  EXPECT_EQ(one.blocks.size(), 2u) << "accepted drafts keep theirs";
}

TEST(Drafts, TheCacheLearnsOfAcceptedTokensOnly) {
  Harness rejected(limits()), accepted(limits());
  for (Harness* g : {&rejected, &accepted}) {
    Sequence& t = g->add(12, 1);
    g->step();
    t.drafts = {1, 2, 3, 4};
    g->step(g == &accepted ? 4 : 1);
    EXPECT_EQ(t.digests.size(), g == &accepted ? 1u : 0u);
  }
}

// With two steps in flight, a plan may preempt a sequence whose drafts are not accepted yet.
TEST(Drafts, APreemptedSequenceComputesAcceptedDraftsAnew) {
  SchedulerLimits l = limits();
  l.prefix_caching = false;
  l.n_blocks = 3;
  Harness h(l);
  Sequence& one = h.add(15, 1, 30);
  Sequence& two = h.add(14, 2, 30);
  h.step();
  two.drafts = {1, 2, 3};
  h.plan();
  EXPECT_EQ(h.planned(two), Planned(4, 3));
  h.scheduler.commit(h.current());
  one.tokens.push_back(7);
  h.scheduler.accept(one, 0);
  const StepPlan& next = h.plan();
  ASSERT_EQ(next.preempted.size(), 1u);
  two.tokens.insert(two.tokens.end(), {1, 2, 9});
  h.scheduler.accept(two, 2);
  EXPECT_EQ(two.computed_len, 0);
  EXPECT_EQ(two.remaining(), 18);
  h.scheduler.check_invariants();
}

SchedulerLimits recurrent() {
  SchedulerLimits l = limits();
  l.n_draft_max = 0;
  l.n_state_slots = 3;
  l.n_state_snapshots = 4;
  return l;
}

TEST(States, AChunkEndsAtTheLastEdgeOfThePrompt) {
  Harness h(recurrent());
  Sequence& s = h.add(40, 1);
  const StepPlan& plan = h.plan();
  EXPECT_EQ(h.planned(s), Planned(32, 0));
  ASSERT_EQ(plan.state_copies.size(), 1u);
  EXPECT_EQ(plan.state_copies[0].from, -1);
  EXPECT_EQ(plan.state_copies[0].to, s.state_slot);
  ASSERT_EQ(plan.state_saves.size(), 1u);
  EXPECT_EQ(plan.state_saves[0].from, s.state_slot);
  EXPECT_GE(plan.state_saves[0].to, 3) << "snapshots come after the live slots";
  h.run();
  h.plan();
  EXPECT_EQ(h.planned(s), Planned(8, 0));
  EXPECT_TRUE(plan.state_copies.empty() && plan.state_saves.empty());
}

TEST(States, EveryNBlocksGetASnapshotAlsoInDecodes) {
  SchedulerLimits l = recurrent();
  l.snapshot_blocks = 2;
  l.n_state_snapshots = 100;
  Harness h(l);
  Sequence& s = h.add(70, 1, 60);
  std::vector<int> edges;
  while (s.token_len() < s.token_len_max) {
    const StepPlan& plan = h.plan();
    const int end = s.computed_len + h.planned(s).first;
    if (!plan.state_saves.empty()) edges.push_back(end);
    h.run();
  }
  EXPECT_EQ(edges, (std::vector<int>{32, 64, 96, 128}));
}

TEST(States, APrefixIsResumedAtItsSnapshot) {
  Harness h(recurrent());
  Sequence& s = h.add(60, 1);
  h.step();
  h.step();
  h.scheduler.finish(s);
  h.add(60, 1);
  const StepPlan& plan = h.plan();
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].sequence->cached_len, 48);
  ASSERT_EQ(plan.state_copies.size(), 1u);
  EXPECT_GE(plan.state_copies[0].from, 3);
}

// The blocks are ready, but the prefix ends before the only snapshot.
TEST(States, WithoutASnapshotBlocksAreNotShared) {
  Harness h(recurrent());
  h.add(60, 1);
  h.step();
  h.step();
  Sequence& shorter = h.add(40, 1);
  const StepPlan& plan = h.plan();
  EXPECT_EQ(shorter.cached_len, 0);
  ASSERT_EQ(plan.state_copies.size(), 1u);
  EXPECT_EQ(plan.state_copies[0].from, -1);
  h.run();
  EXPECT_EQ(h.add(40, 1).cached_len, -1);
  h.step();
  h.plan();
  EXPECT_EQ(h.scheduler.counts().cache_hits, 32u) << "the snapshot moved to the block that has the name";
}

TEST(States, RunningSequencesAreBoundedByTheirSlots) {
  Harness h(recurrent());
  for (int i = 0; i < 5; ++i) h.add(4, i);
  h.plan();
  EXPECT_EQ(h.scheduler.n_running(), 3);
  h.run();
  h.scheduler.finish(*h.plan().items[0].sequence);
  h.scheduler.check_invariants();
  h.plan();
  EXPECT_EQ(h.scheduler.n_running(), 3);
}

TEST(States, ASnapshotGoesWithItsBlock) {
  SchedulerLimits l = recurrent();
  l.n_blocks = 5;
  Harness h(l);
  h.scheduler.finish([&]() -> Sequence& {
    Sequence& s = h.add(40, 1, 10);
    h.step();
    return s;
  }());
  Sequence& other = h.add(70, 2, 10);
  h.step();
  h.scheduler.finish(other);
  Sequence& again = h.add(40, 1, 10);
  h.plan();
  EXPECT_EQ(again.cached_len, 0);
}

TEST(States, APreemptedSequenceGivesItsSlotBack) {
  SchedulerLimits l = recurrent();
  l.n_blocks = 6;
  l.n_state_snapshots = 0;
  Harness h(l);
  h.add(31, 1, 50);
  Sequence& second = h.add(30, 2, 30);
  while (h.scheduler.counts().preemptions == 0) h.step();
  EXPECT_EQ(second.state_slot, -1);
  EXPECT_EQ(second.computed_len, 0);
}

}  // namespace
}  // namespace polymath::engine
