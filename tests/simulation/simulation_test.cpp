// A thousand small worlds of each kind, from seeds: random limits, arrivals, shared prefixes, adapters, cancellations,
// small pools. The invariants hold after every step. Every request gets the output that it gets alone.
//
// Every kind runs with one step at a time, and with two steps in flight on a device that samples. Then with a step for
// each stage of a pipeline: stages run early or late.
//
//   plain       one token a step
//   drafts      several tokens a step: random drafts, of which random many are right
//   recurrent   a model whose output depends on a state, restored from snapshots
//
//   simulation_test                    all seeds
//   SIM_SEED=417 simulation_test       one of them

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/fake_pipeline_test.h"
#include "engine/scheduler.h"

namespace polymath::engine {
namespace {

constexpr int kSeeds = 1000;
constexpr int kSteps = 300;        // with arrivals; after that everything has to end by itself
constexpr int kRestSteps = 20000;  // far more than all that can wait needs
constexpr int kVocab = 61;
constexpr int32_t kEos = 0;

enum class Kind { kPlain, kDrafts, kRecurrent };

struct Actor {
  std::unique_ptr<Sequence> sequence;
  std::vector<int32_t> prompt;
  int output_max;
  int n_reported = 0;  // prompt positions whose logits were reported
  bool reports_prompt;
  bool on_host;  // the host samples its tokens
  int adapter;
};

struct Totals {
  uint64_t preemptions = 0, hits = 0;
  int64_t answers = 0, ahead = 0, wasted = 0, drafts = 0, accepted = 0, resumed = 0;
};

class World {
 public:
  World(uint32_t seed, FakePipeline::Shape shape, Kind kind)
      : depth_(shape.depth),
        pipelined_(shape.stages > 1),
        kind_(kind),
        random_(seed),
        limits_(draw_limits()),
        scheduler_(limits_),
        builder_(limits_, kLengthMax),
        model_(kVocab, limits_.block_size, {limits_.n_blocks, limits_.n_state_slots + limits_.n_state_snapshots},
               rows_max(), {shape.depth, shape.stages, seed}) {
    for (auto& prefix : prefixes_) prefix = draw_tokens(40);
  }

  void run() {
    for (int i = 0; i < kSteps && !::testing::Test::HasFatalFailure(); ++i) {
      while (up_to(99) < arrival_percent_) arrive();
      if (up_to(99) < cancel_percent_) cancel();
      step();
    }
    for (int i = 0; !actors_.empty() && !::testing::Test::HasFatalFailure(); ++i) {
      ASSERT_LT(i, kRestSteps) << "a request starves";
      const int64_t before = n_finished_;
      step();
      ASSERT_GT(n_finished_, before) << "a step that does nothing";
    }
    while (!in_flight_.empty()) finish();
    ASSERT_EQ(scheduler_.n_blocks_held(), 0);
  }

  void add_to(Totals& totals) const {
    totals.preemptions += scheduler_.counts().preemptions;
    totals.hits += scheduler_.counts().cache_hits;
    totals.answers += n_answers_;
    totals.ahead += model_.last().n_ahead;
    totals.wasted += n_wasted_;
    totals.drafts += n_drafts_;
    totals.accepted += n_accepted_;
    totals.resumed += model_.last().n_resumed;
  }

 private:
  static constexpr int kLengthMax = 120;

  int up_to(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n + 1)); }

  SchedulerLimits draw_limits() {
    SchedulerLimits l;
    l.block_size = 1 << up_to(4);
    const int least = kLengthMax / l.block_size + 1;
    l.n_blocks = least + up_to(up_to(2) != 0 ? least / 2 : 3 * least);
    l.sequences_max = 1 + up_to(9);
    l.step_tokens_max = 1 + up_to(up_to(1) == 0 ? 10 : 150);
    mixes_ = up_to(1) == 0;
    l.waiting_max = 1 + up_to(20);
    l.prefix_caching = up_to(4) != 0;
    l.policy = &policies()[up_to(static_cast<int>(policies().size()) - 1)];
    if (kind_ == Kind::kDrafts) {
      l.logit_rows_max = l.sequences_max + up_to(20);
      l.n_draft_max = 1 + up_to(7);
      right_percent_ = up_to(100);
    }
    if (kind_ == Kind::kRecurrent) {
      l.n_state_slots = 1 + up_to(9);
      l.n_state_snapshots = up_to(up_to(1) == 0 ? 3 : 40);
      l.snapshot_blocks = up_to(4);
    }
    arrival_percent_ = up_to(60);
    cancel_percent_ = up_to(1) == 0 ? 0 : up_to(30);
    return l;
  }

  int rows_max() const { return std::max(limits_.sequences_max, limits_.logit_rows_max); }

  std::vector<int32_t> draw_tokens(int n) {
    std::vector<int32_t> out(n);
    for (auto& token : out) token = up_to(kVocab - 1);
    return out;
  }

  void arrive() {
    const auto& prefix = prefixes_[up_to(2)];
    std::vector<int32_t> prompt(prefix.begin(), prefix.begin() + up_to(40));
    for (const int32_t token : draw_tokens(1 + up_to(30))) prompt.push_back(token);
    Actor actor{.prompt = prompt,
                .output_max = 1 + up_to(90),
                .reports_prompt = up_to(9) == 0,
                .on_host = kind_ == Kind::kDrafts || up_to(3) == 0,
                .adapter = up_to(5) == 0 ? up_to(1) : -1};
    const int length_max = std::min<int>(kLengthMax, prompt.size() + actor.output_max);
    actor.sequence = std::make_unique<Sequence>(prompt, length_max, limits_.block_size);
    actor.sequence->arrival = ++n_arrivals_;
    actor.sequence->priority = up_to(2);
    actor.sequence->adapter = actor.adapter;
    if (actor.reports_prompt) actor.sequence->logits_from = 0;
    kvcache::BlockHasher hasher(scheduler_.cache_seed());
    if (limits_.prefix_caching) actor.sequence->hash_prompt(hasher, up_to(9) == 0 ? "salt" : "", limits_.block_size);
    const absl::Status status = scheduler_.admit(*actor.sequence);
    if (!status.ok()) {
      ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
      ASSERT_GE(scheduler_.n_waiting(), limits_.waiting_max);
      return;
    }
    actors_.push_back(std::make_unique<Actor>(std::move(actor)));
  }

  void cancel() {
    if (actors_.empty()) return;
    end(up_to(static_cast<int>(actors_.size()) - 1));
    scheduler_.check_invariants();
  }

  // Its rows in flight are dropped.
  void end(size_t i) {
    for (InFlightStep& flight : in_flight_) {
      for (Item& item : flight) {
        if (item.actor != actors_[i].get()) continue;
        item.actor = nullptr;
        n_wasted_ += item.samples;
      }
    }
    scheduler_.finish(*actors_[i]->sequence);
    actors_[i] = std::move(actors_.back());
    actors_.pop_back();
  }

  void step() {
    while (static_cast<int>(in_flight_.size()) < depth_ && start()) {
    }
    if (!in_flight_.empty()) finish();
  }

  // Drafts for the sequences that decode: each token is right with a probability, until the first wrong one.
  void propose() {
    int room = scheduler_.draft_room();
    for (const auto& actor : actors_) {
      Sequence& s = *actor->sequence;
      if (!s.decodes() || up_to(3) == 0) continue;
      const int n = std::min({1 + up_to(limits_.n_draft_max), room + up_to(1), s.token_len_max - 1 - s.token_len()});
      s.drafts.clear();
      const auto at = [&](int i) { return i < s.token_len() ? s.tokens[i] : s.drafts[i - s.token_len()]; };
      while (static_cast<int>(s.drafts.size()) < n) {
        const int length = s.token_len() + static_cast<int>(s.drafts.size());
        const bool right = up_to(99) < right_percent_;
        s.drafts.push_back(right ? FakeModel::next(length, kVocab, at, s.adapter) : up_to(kVocab - 1));
      }
      room -= n;
    }
  }

  // False: nothing can be planned now.
  bool start() {
    std::set<const Sequence*> decoding;
    for (const auto& actor : actors_) {
      if (actor->sequence->decodes()) decoding.insert(actor->sequence.get());
    }
    if (kind_ == Kind::kDrafts) propose();
    mixed_max_ = mixes_ ? 1 + up_to(40) : 0;
    room_ = {.mixed_prefill_max = mixed_max_};
    if (pipelined_) room_.decodes_max = up_to(4), room_.prefill_max = up_to(30);
    const StepPlan plan = scheduler_.plan(room_);
    scheduler_.check_invariants();
    if (plan.items.empty()) return false;
    model::Batch batch = builder_.build(plan);
    check_plan(plan, batch, decoding);
    InFlightStep flight = flight_of(plan);
    const std::vector<model::SampleParams> greedy(model_.samples_on_device() ? batch.logit_rows.size() : 0);
    batch.sampling = greedy;
    if (model_.samples_on_device()) batch.host_rows = host_rows_;
    EXPECT_TRUE(model_.start(batch).ok());
    scheduler_.commit(plan);
    for (const Item& item : flight) {
      item.actor->sequence->n_unknown += item.on_device;
      ++item.actor->sequence->n_in_flight;
    }
    in_flight_.push_back(std::move(flight));
    scheduler_.check_invariants();
    return true;
  }

  struct Item {
    Actor* actor;  // null: it has ended
    int begin, end, row;
    std::vector<int> reported;  // prompt positions
    bool samples, on_device;
    int n_draft;
  };
  using InFlightStep = std::vector<Item>;

  InFlightStep flight_of(const StepPlan& plan) {
    InFlightStep flight;
    host_rows_.clear();
    int row = 0;
    for (const auto& [sequence, n, n_draft] : plan.items) {
      const Sequence* s = sequence;
      const auto actor = std::ranges::find_if(actors_, [&](const auto& a) { return a->sequence.get() == s; });
      const int begin = s->computed_len;
      Item item{.actor = actor->get(), .begin = begin, .end = begin + n - n_draft, .row = row, .n_draft = n_draft};
      item.samples = item.end == s->length();
      item.on_device = item.samples && model_.samples_on_device() && !(*actor)->on_host;
      n_drafts_ += n_draft;
      for (int position = begin; position < begin + n; ++position) {
        if (!s->wants_logits(position)) continue;
        const bool samples = position >= s->length() - 1;
        if (!samples) item.reported.push_back(position);
        if (!samples || !item.on_device) host_rows_.push_back(row);
        ++row;
      }
      flight.push_back(std::move(item));
    }
    return flight;
  }

  void finish() {
    const auto result = model_.finish();
    ASSERT_TRUE(result.ok()) << result.status();
    const InFlightStep flight = std::move(in_flight_.front());
    in_flight_.erase(in_flight_.begin());
    const float* host_row = result->logits.shape[0] == 0 ? nullptr : result->logits.f32();
    ++n_finished_;
    for (const Item& item : flight) {
      if (item.actor != nullptr) --item.actor->sequence->n_in_flight;
      deliver(item, *result, host_row);
    }
    scheduler_.check_invariants();
    for (size_t i = actors_.size(); i-- > 0;) end_if_done(i);
    scheduler_.check_invariants();
  }

  void check_plan(const StepPlan& plan, const model::Batch& batch, const std::set<const Sequence*>& decoding) {
    ASSERT_LE(batch.n_tokens(), limits_.step_tokens_max);
    ASSERT_LE(batch.n_seqs(), limits_.sequences_max);
    ASSERT_LE(static_cast<int>(batch.logit_rows.size()), rows_max());
    int decodes = 0, prefill = 0, n_decoding = 0;
    for (const auto& [sequence, n, n_draft] : plan.items) {
      ASSERT_GE(n - n_draft, 1);
      ASSERT_LE(n - n_draft, sequence->remaining());
      ASSERT_EQ(n_draft, sequence->n_draft);
      ASSERT_TRUE(n_draft == 0 || decoding.contains(sequence));
      (decoding.contains(sequence) ? decodes : prefill) += n;
      n_decoding += decoding.contains(sequence);
    }
    ASSERT_TRUE(room_.decodes_max == 0 || n_decoding <= room_.decodes_max);
    ASSERT_TRUE(room_.prefill_max == 0 || prefill <= room_.prefill_max);
    if (decodes > 0 && mixed_max_ > 0) {
      ASSERT_LE(prefill, mixed_max_);
    }
    const std::set<int32_t> slots(batch.slots.begin(), batch.slots.end());
    ASSERT_EQ(slots.size(), batch.slots.size()) << "two tokens are written to one place";
    check_writers(batch);
    std::set<int32_t> saved;
    for (const auto& save : batch.state_saves) ASSERT_TRUE(saved.insert(save.to).second) << "one slot for two states";
  }

  // Every token is written to a block that exactly one sequence holds.
  void check_writers(const model::Batch& batch) {
    std::vector<int> holders(limits_.n_blocks, 0);
    for (const auto& actor : actors_) {
      for (const int32_t block : actor->sequence->blocks) ++holders[block];
    }
    for (const int32_t slot : batch.slots) ASSERT_EQ(holders[slot / limits_.block_size], 1);
  }

  void deliver(const Item& item, const model::StepResult& result, const float*& host_row) {
    const auto best_of_next = [&host_row] {
      const auto best = static_cast<int32_t>(std::max_element(host_row, host_row + kVocab) - host_row);
      host_row += kVocab;
      return best;
    };
    for (const int position : item.reported) {
      const int32_t best = best_of_next();
      if (item.actor == nullptr) continue;
      Sequence& s = *item.actor->sequence;
      s.logits_from = position + 1;
      ASSERT_EQ(best, FakeModel::next(
                          position + 1, kVocab, [&](int i) { return s.tokens[i]; }, s.adapter));
      ++item.actor->n_reported;
    }
    if (!item.samples) return;
    std::vector<int32_t> ids;
    if (item.on_device) ids.push_back(result.ids[item.row + item.reported.size()]);
    for (int i = 0; !item.on_device && i <= item.n_draft; ++i) ids.push_back(best_of_next());
    if (item.actor != nullptr) take(item, ids);
  }

  void take(const Item& item, const std::vector<int32_t>& ids) {
    Sequence& s = *item.actor->sequence;
    s.n_unknown -= item.on_device;
    int n_accepted = 0;
    for (bool accepted = true; accepted && !done(s);) {
      const int32_t id = ids[n_accepted];
      s.tokens.push_back(id);
      accepted = n_accepted < item.n_draft && s.drafts[n_accepted] == id;
      n_accepted += accepted;
    }
    n_accepted_ += n_accepted;
    scheduler_.accept(s, n_accepted);
    s.drafts.clear();
  }

  static bool done(const Sequence& s) {
    return !s.output().empty() && (s.output().back() == kEos || s.token_len() == s.token_len_max);
  }

  void end_if_done(size_t i) {
    Actor& actor = *actors_[i];
    const Sequence& s = *actor.sequence;
    if (!done(s)) return;
    const std::vector<int32_t> got(s.output().begin(), s.output().end());
    const int output_max = s.token_len_max - s.prompt_len;
    ASSERT_EQ(got, FakeModel::answer(actor.prompt, output_max, kVocab, kEos, actor.adapter));
    ASSERT_EQ(actor.n_reported, actor.reports_prompt ? s.prompt_len - 1 : 0);
    end(i);
    ++n_answers_;
  }

  const int depth_;
  const bool pipelined_;
  const Kind kind_;
  std::mt19937 random_;
  int arrival_percent_ = 0, cancel_percent_ = 0, right_percent_ = 0;
  bool mixes_ = false;
  int mixed_max_ = 0;  // of the step being checked
  StepRoom room_;      // the same
  const SchedulerLimits limits_;
  Scheduler scheduler_;
  BatchBuilder builder_;
  FakePipeline model_;
  std::vector<int32_t> prefixes_[3];
  std::vector<std::unique_ptr<Actor>> actors_;
  std::vector<InFlightStep> in_flight_;  // the one started first, first
  std::vector<int32_t> host_rows_;
  uint64_t n_arrivals_ = 0;
  int64_t n_finished_ = 0;  // steps
  int64_t n_answers_ = 0, n_wasted_ = 0, n_drafts_ = 0, n_accepted_ = 0;
};

// A CHECK ends the process: print first how to replay it.
volatile uint32_t current_seed = 0;
void print_seed(int) { std::fprintf(stderr, "replay it with: SIM_SEED=%u simulation_test\n", current_seed); }

class SimulationAtDepth : public ::testing::TestWithParam<FakePipeline::Shape> {
 protected:
  static Totals run(Kind kind) {
    const char* only = std::getenv("SIM_SEED");
    const uint32_t begin = only != nullptr ? std::strtoul(only, nullptr, 10) : 0;
    const uint32_t end = only != nullptr ? begin + 1 : kSeeds;
    std::signal(SIGABRT, print_seed);
    Totals totals;
    for (uint32_t seed = begin; seed < end && !HasFatalFailure(); ++seed) {
      current_seed = seed;
      World world(seed, GetParam(), kind);
      world.run();
      EXPECT_FALSE(HasFatalFailure()) << "replay it with: SIM_SEED=" << seed << " simulation_test";
      world.add_to(totals);
    }
    return totals;
  }
  static bool all() { return std::getenv("SIM_SEED") == nullptr; }
};
INSTANTIATE_TEST_SUITE_P(Steps, SimulationAtDepth,
                         ::testing::Values(FakePipeline::Shape{1, 1}, FakePipeline::Shape{2, 1},
                                           FakePipeline::Shape{2, 2}, FakePipeline::Shape{4, 4}),
                         [](const auto& shape) {
                           return "depth" + std::to_string(shape.param.depth) + "stages" +
                                  std::to_string(shape.param.stages);
                         });

TEST_P(SimulationAtDepth, EverySeedKeepsTheInvariants) {
  const Totals totals = run(Kind::kPlain);
  if (!all()) return;
  EXPECT_GT(totals.preemptions, GetParam().stages > 1 ? 4000u : 5000u) << "the pools are too large";
  EXPECT_GT(totals.hits, 100000u);
  EXPECT_GT(totals.answers, 10000);
  if (GetParam().depth == 1 || GetParam().stages > 1) return;
  EXPECT_GT(totals.ahead, 100000) << "tokens planned before the host knew them";
  EXPECT_GT(totals.wasted, 1000) << "tokens sampled for ended sequences";
}

TEST_P(SimulationAtDepth, DraftsChangeNoOutput) {
  const Totals totals = run(Kind::kDrafts);
  if (!all()) return;
  EXPECT_GT(totals.drafts, 200000);
  EXPECT_GT(totals.accepted, 50000);
  EXPECT_LT(totals.accepted, totals.drafts * 3 / 4);
  EXPECT_GT(totals.preemptions, 3000u);
  EXPECT_GT(totals.hits, 100000u);
  EXPECT_GT(totals.answers, 10000);
}

TEST_P(SimulationAtDepth, RestoredStatesChangeNoOutput) {
  const Totals totals = run(Kind::kRecurrent);
  if (!all()) return;
  EXPECT_GT(totals.resumed, 2000);
  EXPECT_GT(totals.preemptions, 3000u);
  EXPECT_GT(totals.hits, 20000u);
  EXPECT_GT(totals.answers, 10000);
}

}  // namespace
}  // namespace polymath::engine
