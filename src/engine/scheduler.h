#pragma once

// Decides for each step which sequences run, and with how many tokens.
//
//   RETURN_IF_ERROR(scheduler.admit(sequence));   // waits
//   sequence.drafts = ...                         // optional, for a sequence that decodes
//   StepPlan plan = scheduler.plan(room);         // items: tokens from computed_len on, the last n_draft are drafts
//   ... model.start() ...
//   scheduler.commit(plan);                       // computed_len moves on, but not over drafts
//   ... ++sequence.n_unknown where computed_len == length() and the device samples the next token ...
//   ... model.finish(); append the accepted drafts and the sampled token; --sequence.n_unknown if it was unknown ...
//   scheduler.accept(sequence, n_accepted);       // computed_len moves over them; full blocks are shared
//   scheduler.finish(sequence);                   // ended or cancelled: its blocks go back
//
// A step counts as computed once it is started: the device runs steps in order. So the next step can be planned while
// this one runs. A token that the device samples is unknown then, and the sequence goes on with it. A sequence whose
// token the host samples waits for it. REQUIRES: when plan() is called, at most one step with such a token is in
// flight.
//
// A pipeline has several steps in flight, and the host samples. Their sequences are disjoint but for chunks of a
// prompt. StepRoom keeps some sequences for the other steps.
//
// A sequence that ends or is preempted gives its blocks back at once. A step in flight writes to them before any later
// one does. The prefix cache learns only of blocks full of known, computed tokens.
//
// One token budget a step, in the policy's order: decodes, started prefills in chunks, waiting sequences. A waiting one
// starts if blocks are free for all its tokens, and one more for each running sequence. Until then none passes it, so
// none starves. One exception: its next block may be pending in another sequence. Then it waits for that block and lets
// others pass. The owner runs, so this wait ends.
//
// Drafts come last. They get the tokens, logit rows and free blocks that are left, and never preempt.
//
// A decode without a free block preempts the last running sequence by the policy. That one loses its blocks and waits
// again. The first by the policy never loses its own, so everything ends.
//
// Recurrent layers (n_state_slots > 0): each running sequence holds one live state slot. Snapshots are taken at the
// prompt's last inner block edge, and every snapshot_blocks blocks. A prefill chunk ends at each of these edges. A
// prefix match ends at a ready block that has a snapshot.
//
// Pure bookkeeping: no thread, clock or device, and no allocation after construction. The same calls give the same
// plans, so tests/simulation replays them from a seed.
//
// Thread safety: none, except check_fits and cache_seed. The engine thread owns it.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/policy.h"
#include "engine/sequence.h"
#include "engine/step_times.h"
#include "kvcache/block_pool.h"
#include "kvcache/prefix_cache.h"
#include "kvcache/state_pool.h"

namespace polymath::engine {

struct SchedulerLimits {
  int block_size = 16;
  int64_t n_blocks = 0;
  int sequences_max = 0;    // running at once; the others wait
  int step_tokens_max = 0;  // tokens in one forward; the rest comes in the next
  int logit_rows_max = 0;   // in a step, >= sequences_max; 0: sequences_max. Beyond: fewer drafts
  int n_draft_max = 0;      // draft tokens of a sequence in a step; the rest is ignored
  int waiting_max = 0;      // sequences in the queue; beyond it admit() returns kResourceExhausted
  bool prefix_caching = true;
  const Policy* policy = nullptr;  // null: the first of policies()

  int n_state_slots = 0;      // live states of recurrent layers: running at once; 0: the model has no such layers
  int n_state_snapshots = 0;  // 0: prefixes are not shared if there are recurrent layers
  int snapshot_blocks = 0;    // a snapshot every so many blocks; 0: only the prompt's last block edge
};

struct StepItem {
  Sequence* sequence;
  int n_tokens;     // >= 1, drafts included
  int n_draft = 0;  // of these: drafts, at the end; > 0 only for a decode
};

struct StepPlan {
  std::span<const StepItem> items;                   // empty: nothing can run
  size_t n_decodes = 0;                              // the first items; the others prefill
  std::span<Sequence* const> preempted;              // lost their blocks and wait again
  std::span<const kvcache::StateCopy> state_copies;  // as model::Batch
  std::span<const kvcache::StateCopy> state_saves;

  StepShape shape() const;
};

struct SchedulerCounts {
  uint64_t cache_queries = 0;  // prompt tokens looked up in the prefix cache
  uint64_t cache_hits = 0;     // of these: found
  uint64_t preemptions = 0;
};

// What a step may take, beside the limits; 0: no limit of its own.
struct StepRoom {
  int mixed_prefill_max = 0;  // prefill tokens in a step that also decodes
  int decodes_max = 0;        // sequences
  int prefill_max = 0;        // prefill tokens in any step
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);  // REQUIRES: limits >= 1 where 0 has no meaning

  // kInvalidArgument: a sequence of so many tokens has no room in the KV cache even alone. Any thread.
  absl::Status check_fits(int token_len_max) const;
  const kvcache::Digest& cache_seed() const { return cache_.seed(); }

  // Takes a sequence into the waiting queue. Its address must not change before finish().
  // kResourceExhausted: the queue is full. kInvalidArgument: as check_fits.
  absl::Status admit(Sequence& sequence);

  StepPlan plan(const StepRoom& room = {});
  int n_decoding() const;  // running sequences that a step would decode
  // Draft tokens in a step at most, beside a decode of every running sequence.
  int draft_room() const;
  void commit(const StepPlan& plan);  // REQUIRES: the latest plan, none of its sequences finished since
  // The first `n_accepted` drafts of a finished step are right, and already in `tokens`. The others are rejected: their
  // blocks go back, their KV is overwritten later. If the sequence was preempted since, only `tokens` count. Due after
  // every step, since its token may have filled a block.
  void accept(Sequence& sequence, int n_accepted);
  void finish(Sequence& sequence);  // REQUIRES: admitted, not finished

  int n_running() const { return static_cast<int>(running_.size()); }
  int n_waiting() const { return static_cast<int>(waiting_.size()); }
  // Of those that wait: the last plan passed them over, since another sequence computes their next block.
  int n_deferred() const { return std::min(n_deferred_, n_waiting()); }
  int64_t n_waiting_tokens() const { return n_waiting_tokens_; }  // of their prompts
  int64_t n_prefill_tokens() const;                               // of prompts that began, not yet in a step
  int64_t n_blocks_held() const { return pool_.n_blocks() - pool_.n_free(); }
  const SchedulerCounts& counts() const { return counts_; }

  // Dies if blocks or states were lost, shared wrongly or leaked. O(blocks); called by tests after every step, and
  // by the engine when it comes to rest.
  void check_invariants() const;

 private:
  struct Match {
    int n_blocks = 0;   // found ready, from the first on
    int n_free = 0;     // of these: without a holder
    bool wait = false;  // another sequence computes the next one
  };
  Match match(Sequence& sequence) const;
  bool awaits(const Sequence& sequence) const;
  void cut_to_snapshot(Sequence& sequence, int named, Match& found) const;
  int blocks_for(int n_tokens) const { return (n_tokens + limits_.block_size - 1) / limits_.block_size; }
  bool has_states() const { return limits_.n_state_slots > 0; }

  void give_decodes_blocks();
  void plan_decodes(int decodes_max);
  void plan_prefills();
  void plan_waiting();
  void plan_drafts();
  void add_prefill(Sequence& sequence);
  int next_edge(const Sequence& sequence) const;
  void save_state(const Sequence& sequence, int end);
  void start(Sequence& sequence, const Match& match);
  void start_state(Sequence& sequence, const Match& match);
  void preempt_last();
  int32_t take_block();
  void forget(int32_t block);
  void share(Sequence& sequence);
  void release(Sequence& sequence);
  void insert(std::vector<Sequence*>& queue, Sequence& sequence);
  void enqueue(Sequence& sequence);
  void check_sequence(const Sequence& sequence, std::vector<int>& holders) const;
  void check_blocks(const std::vector<int>& holders) const;

  const SchedulerLimits limits_;
  const Policy& policy_;
  kvcache::BlockPool pool_;
  kvcache::PrefixCache cache_;
  kvcache::StatePool states_;
  kvcache::BlockHasher hasher_;
  std::vector<Sequence*> running_;  // both in the policy's order
  std::vector<Sequence*> waiting_;
  int64_t n_waiting_tokens_ = 0;
  int n_deferred_ = 0;
  SchedulerCounts counts_;

  // Of the plan being made.
  std::vector<StepItem> items_;  // decodes first
  std::vector<Sequence*> preempted_;
  std::vector<kvcache::StateCopy> state_copies_, state_saves_;
  size_t n_decodes_ = 0;
  int tokens_left_ = 0;
  int prefill_left_ = 0;
  int extra_rows_left_ = 0;  // logit rows beyond one for each running sequence
};

}  // namespace polymath::engine
