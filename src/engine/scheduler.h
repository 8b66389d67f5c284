#pragma once

// Decides, once a step, which sequences run and how many tokens each of them gets.
//
//   RETURN_IF_ERROR(scheduler.admit(sequence));   // waits
//   StepPlan plan = scheduler.plan();             // items: tokens [computed_len, computed_len + n_tokens) of each
//   ... model.start() ...
//   scheduler.commit(plan);                       // computed_len moves on; full blocks are shared from now on
//   ... ++sequence.n_unknown where computed_len == length() and the device chooses the next token ...
//   ... model.finish(); sequence.tokens.push_back(chosen), --sequence.n_unknown ...
//   scheduler.share(sequence);                    // it may have filled a block
//   scheduler.finish(sequence);                   // ended or cancelled: its blocks go back
//
// A step counts as computed once it was started, since the device runs steps in the order of their starts: whoever is
// planned later reads what this one wrote. So the next step can be planned while this one runs: a sequence whose next
// token the device chooses goes on with a token that nobody knows yet; one whose token the host will choose is not
// planned before that. REQUIRES: at most one step is in flight when plan() is called.
//
// For the same reason blocks go back at once when a sequence ends or is preempted while a step that names it is in
// flight: it can write to them only before whoever gets them next. And the prefix cache only learns of blocks whose
// tokens are known, all of them computed; what a sequence writes after its end goes behind these.
//
// One token budget a step. First the decodes, then started prefills in chunks, then waiting sequences, each in the
// policy's order. A waiting sequence starts when there are blocks for all its tokens and one more for each that runs;
// until then nobody passes it, so nobody starves. Only a sequence whose next block another one is computing lets others
// pass: it waits for that block rather than compute it again (the owner runs, so the wait ends).
//
// When a decode finds no free block, the running sequence that comes last by the policy loses its blocks and waits
// again; prefix-cached ones it may find again. The first by the policy never loses its own, so everything ends.
//
// Pure bookkeeping: no thread, clock or device, and no allocation after construction. The same calls in the same order
// give the same plan, so tests/simulation can replay them from a seed.
//
// Thread safety: none, but for check_fits and cache_seed. The engine thread owns it.

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/policy.h"
#include "engine/sequence.h"
#include "kvcache/block_pool.h"
#include "kvcache/prefix_cache.h"

namespace polymath::engine {

struct SchedulerLimits {
  int block_size = 16;
  int64_t n_blocks = 0;
  int sequences_max = 0;             // running at once, and rows of logits in a step; the others wait
  int step_tokens_max = 0;           // tokens in one forward; what does not fit comes in the next
  int mixed_prefill_tokens_max = 0;  // prefill tokens in a step that also decodes; 0: no limit of its own
  int waiting_max = 0;               // sequences in the queue; beyond it admit() says kResourceExhausted
  bool prefix_caching = true;
  const Policy* policy = nullptr;  // null: the first of policies()
};

struct StepPlan {
  struct Item {
    Sequence* sequence;
    int n_tokens;  // >= 1; 1 for a decode
  };
  std::span<const Item> items;           // empty: nothing is there to run
  std::span<Sequence* const> preempted;  // lost their blocks; they wait again, none is dropped
};

struct SchedulerCounts {
  uint64_t cache_queries = 0;  // prompt tokens looked up in the prefix cache
  uint64_t cache_hits = 0;     // of these: found
  uint64_t preemptions = 0;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);  // REQUIRES: limits >= 1 where 0 has no meaning

  // kInvalidArgument: a sequence of so many tokens has no room in the KV cache even alone. Any thread.
  absl::Status check_fits(int token_len_max) const;
  const kvcache::Digest& cache_seed() const { return cache_.seed(); }

  // Takes a sequence into the waiting queue. It must stay where it is until finish().
  // kResourceExhausted: the queue is full. kInvalidArgument: as check_fits.
  absl::Status admit(Sequence& sequence);

  StepPlan plan();
  void commit(const StepPlan& plan);  // REQUIRES: the latest plan, and nobody of it finished since
  // Tells the prefix cache of the blocks that are full of known tokens by now.
  void share(Sequence& sequence);
  void finish(Sequence& sequence);  // REQUIRES: admitted, not finished

  int n_running() const { return static_cast<int>(running_.size()); }
  int n_waiting() const { return static_cast<int>(waiting_.size()); }
  int64_t n_blocks_held() const { return pool_.n_blocks() - pool_.n_free(); }
  const SchedulerCounts& counts() const { return counts_; }

  // Dies if blocks were lost, shared wrongly or held by nobody. O(blocks); called by tests after every step.
  void check_invariants() const;

 private:
  struct Match {
    int n_blocks = 0;   // found ready, from the first on
    int n_free = 0;     // of these: held by nobody
    bool wait = false;  // the next one is being computed
  };
  Match match(Sequence& sequence) const;
  bool awaits(const Sequence& sequence) const;
  int blocks_for(int n_tokens) const { return (n_tokens + limits_.block_size - 1) / limits_.block_size; }

  void give_decodes_blocks();
  void plan_decodes();
  void plan_prefills();
  void plan_waiting();
  void add_prefill(Sequence& sequence);
  void start(Sequence& sequence, const Match& match);
  void preempt_last();
  int32_t take_block();
  void release_blocks(Sequence& sequence);
  void insert(std::vector<Sequence*>& queue, Sequence& sequence);
  void check_sequence(const Sequence& sequence, std::vector<int>& holders) const;

  const SchedulerLimits limits_;
  const Policy& policy_;
  kvcache::BlockPool pool_;
  kvcache::PrefixCache cache_;
  kvcache::BlockHasher hasher_;
  std::vector<Sequence*> running_;  // both in the policy's order
  std::vector<Sequence*> waiting_;
  SchedulerCounts counts_;

  // Of the plan being made.
  std::vector<StepPlan::Item> items_;
  std::vector<Sequence*> preempted_;
  int tokens_left_ = 0;
  int prefill_left_ = 0;
  int extra_rows_left_ = 0;  // rows of logits beyond one for each running sequence
};

}  // namespace polymath::engine
