#include "engine/scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::engine {

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits),
      policy_(limits.policy != nullptr ? *limits.policy : policies().front()),
      pool_(limits.n_blocks),
      cache_(limits.n_blocks),
      hasher_(cache_.seed()) {
  CHECK(limits.block_size >= 1 && limits.sequences_max >= 1 && limits.step_tokens_max >= 1);
  CHECK(limits.mixed_prefill_tokens_max >= 0 && limits.waiting_max >= 1);
  running_.reserve(limits.sequences_max);
  waiting_.reserve(limits.waiting_max + limits.sequences_max);  // all that run may come back
  items_.reserve(limits.sequences_max);
  preempted_.reserve(limits.sequences_max);
}

// The last token chosen never goes through the model: it needs no room.
absl::Status Scheduler::check_fits(int token_len_max) const {
  const int needed = blocks_for(token_len_max - 1);
  if (needed <= pool_.n_blocks()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("prompt and output of up to ", token_len_max, " tokens need ", needed,
                                                 " KV blocks of ", limits_.block_size, " tokens, and there are ",
                                                 pool_.n_blocks(), "; ask for fewer tokens (max_tokens)"));
}

absl::Status Scheduler::admit(Sequence& sequence) {
  RETURN_IF_ERROR(check_fits(sequence.token_len_max));
  if (n_waiting() >= limits_.waiting_max) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", n_waiting(), " requests are waiting"));
  }
  CHECK(sequence.computed_len == 0 && sequence.cached_len == -1 && sequence.token_len() < sequence.token_len_max);
  insert(waiting_, sequence);
  return absl::OkStatus();
}

void Scheduler::insert(std::vector<Sequence*>& queue, Sequence& sequence) {
  const auto before = [this](const Sequence* a, const Sequence* b) { return policy_.before(*a, *b); };
  CHECK(queue.size() < queue.capacity());
  queue.insert(std::upper_bound(queue.begin(), queue.end(), &sequence, before), &sequence);
}

StepPlan Scheduler::plan() {
  items_.clear();
  preempted_.clear();
  give_decodes_blocks();
  tokens_left_ = limits_.step_tokens_max;
  extra_rows_left_ = limits_.sequences_max - n_running();
  plan_decodes();
  const bool mixed = !items_.empty() && limits_.mixed_prefill_tokens_max > 0;
  prefill_left_ = mixed ? std::min(tokens_left_, limits_.mixed_prefill_tokens_max) : tokens_left_;
  plan_prefills();
  if (preempted_.empty()) plan_waiting();
  return {items_, preempted_};
}

// Before anything is planned, so that no plan names a sequence that then loses its blocks.
void Scheduler::give_decodes_blocks() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (blocks_for(sequence.computable_len()) <= static_cast<int>(sequence.blocks.size())) continue;
    while (pool_.n_free() == 0 && i < running_.size()) preempt_last();
    if (i < running_.size()) sequence.blocks.push_back(take_block());
  }
}

void Scheduler::plan_decodes() {
  for (Sequence* sequence : running_) {
    if (sequence->remaining() != 1 || tokens_left_ == 0) continue;
    items_.push_back({sequence, 1});
    --tokens_left_;
  }
}

void Scheduler::plan_prefills() {
  for (Sequence* sequence : running_) {
    if (sequence->remaining() > 1 && prefill_left_ > 0) add_prefill(*sequence);
  }
}

void Scheduler::plan_waiting() {
  const size_t running_max = std::min(limits_.sequences_max, limits_.step_tokens_max);
  for (size_t i = 0; i < waiting_.size() && prefill_left_ > 0;) {
    const int extra_rows_used = limits_.sequences_max - n_running() - extra_rows_left_;
    if (running_.size() + extra_rows_used >= running_max) return;
    Sequence& sequence = *waiting_[i];
    const Match found = match(sequence);
    if (found.wait) {
      ++i;
      continue;
    }
    const int64_t needed = blocks_for(sequence.token_len()) - found.n_blocks;
    const int64_t growth = n_running();  // else the newcomer would soon be sent away again
    if (pool_.n_free() - found.n_free < needed + growth) return;
    waiting_.erase(waiting_.begin() + i);
    start(sequence, found);
    --extra_rows_left_;
    add_prefill(sequence);
  }
}

// A chunk ends where the budget does, or where it would want more rows of logits than are left.
void Scheduler::add_prefill(Sequence& sequence) {
  int n = std::min(sequence.remaining(), prefill_left_);
  const int first_row = std::max(sequence.computed_len, sequence.logits_from);
  if (first_row < sequence.prompt_len - 1) {
    n = std::min(n, first_row - sequence.computed_len + 1 + extra_rows_left_);
    extra_rows_left_ -= std::max(0, sequence.computed_len + n - first_row - 1);
  }
  items_.push_back({&sequence, n});
  tokens_left_ -= n;
  prefill_left_ -= n;
}

// Whether the block it waited for is still being computed: cheaper than to match again.
bool Scheduler::awaits(const Sequence& sequence) const {
  if (sequence.awaited < 0) return false;
  const int32_t block = cache_.find(sequence.digests[sequence.awaited]);
  return block >= 0 && !cache_.ready(block);
}

// The longest beginning whose blocks are ready. At least one token is left to compute, since its logits are wanted.
Scheduler::Match Scheduler::match(Sequence& sequence) const {
  Match found;
  if (awaits(sequence)) {
    found.wait = true;
    return found;
  }
  sequence.awaited = -1;
  const bool tells_prompt =
      sequence.logits_from < sequence.prompt_len - 1;  // then nothing from there on may be skipped
  const int skippable = tells_prompt ? sequence.logits_from : sequence.token_len() - 1;
  const int named = std::min<int>(skippable / limits_.block_size, sequence.digests.size());
  for (; found.n_blocks < named; ++found.n_blocks) {
    const int32_t block = cache_.find(sequence.digests[found.n_blocks]);
    if (block < 0) break;
    if (!cache_.ready(block)) {
      sequence.awaited = found.n_blocks;
      found.wait = true;
      break;
    }
    found.n_free += pool_.holders(block) == 0;
  }
  return found;
}

// Blocks for all its tokens, so that a started prefill never stops for want of one; and the full ones among them are
// announced, so that others wait for them.
void Scheduler::start(Sequence& sequence, const Match& match) {
  CHECK(sequence.n_unknown == 0);  // whoever was preempted in flight has got its token: no plan starts and preempts
  for (int i = 0; i < match.n_blocks; ++i) {
    const int32_t block = cache_.find(sequence.digests[i]);
    pool_.hold(block);
    sequence.blocks.push_back(block);
  }
  for (int i = match.n_blocks; i < blocks_for(sequence.token_len()); ++i) {
    const int32_t block = take_block();
    sequence.blocks.push_back(block);
    if (i < static_cast<int>(sequence.digests.size())) cache_.add(sequence.digests[i], block, false);
  }
  sequence.n_shared = match.n_blocks;
  sequence.computed_len = match.n_blocks * limits_.block_size;
  if (sequence.cached_len < 0) {
    sequence.cached_len = sequence.computed_len;
    if (limits_.prefix_caching) counts_.cache_queries += sequence.prompt_len;
    counts_.cache_hits += sequence.cached_len;
  }
  insert(running_, sequence);
}

int32_t Scheduler::take_block() {
  const int32_t block = pool_.allocate();
  CHECK(block >= 0);
  cache_.forget(block);
  return block;
}

void Scheduler::preempt_last() {
  Sequence& sequence = *running_.back();
  running_.pop_back();
  release_blocks(sequence);
  insert(waiting_, sequence);
  preempted_.push_back(&sequence);
  ++counts_.preemptions;
}

// From the last block to the first, so that a chain is forgotten from its end: a beginning is of use without its end.
void Scheduler::release_blocks(Sequence& sequence) {
  for (; !sequence.blocks.empty(); sequence.blocks.pop_back()) {
    const int32_t block = sequence.blocks.back();
    if (!cache_.ready(block)) cache_.forget(block);  // nobody will compute it now; those who waited go on by themselves
    pool_.release(block, cache_.known(block));
  }
  sequence.computed_len = sequence.n_shared = 0;
}

void Scheduler::commit(const StepPlan& plan) {
  for (const auto& [sequence, n_tokens] : plan.items) {
    sequence->computed_len += n_tokens;
    CHECK(sequence->computed_len <= sequence->length());
    share(*sequence);
  }
}

void Scheduler::share(Sequence& sequence) {
  if (!limits_.prefix_caching) return;
  const int size = limits_.block_size, known = std::min(sequence.computed_len, sequence.token_len());
  for (int& i = sequence.n_shared; i < known / size; ++i) {
    if (i == static_cast<int>(sequence.digests.size())) {
      const std::span<const int32_t> tokens(sequence.tokens.data() + int64_t{i} * size, size);
      sequence.digests.push_back(hasher_.next(i == 0 ? sequence.root : sequence.digests.back(), tokens));
    }
    const int32_t block = sequence.blocks[i];
    if (cache_.known(block)) {
      cache_.set_ready(block);
    } else {
      cache_.add(sequence.digests[i], block, true);  // false: another one holds the same; both stay
    }
  }
}

void Scheduler::finish(Sequence& sequence) {
  for (auto* queue : {&running_, &waiting_}) {
    const auto at = std::find(queue->begin(), queue->end(), &sequence);
    if (at == queue->end()) continue;
    queue->erase(at);
    release_blocks(sequence);
    return;
  }
  CHECK(false && "the sequence was never admitted");
}

void Scheduler::check_sequence(const Sequence& sequence, std::vector<int>& holders) const {
  CHECK(0 <= sequence.computed_len && sequence.computed_len <= sequence.length());
  CHECK(0 <= sequence.n_unknown && sequence.length() <= sequence.token_len_max);
  CHECK(blocks_for(sequence.computed_len) <= static_cast<int>(sequence.blocks.size()));
  const int known = std::min(sequence.computed_len, sequence.token_len());
  for (size_t i = 0; i < sequence.blocks.size(); ++i) {
    const int32_t block = sequence.blocks[i];
    ++holders[block];
    const bool filled = static_cast<int>(i + 1) * limits_.block_size <= known;
    if (cache_.known(block)) CHECK(cache_.digest(block) == sequence.digests[i]);
    if (cache_.known(block)) CHECK(cache_.ready(block) == filled);
    if (!filled) CHECK(pool_.holders(block) == 1);
  }
}

void Scheduler::check_invariants() const {
  pool_.check_invariants();
  cache_.check_invariants();
  std::vector<int> holders(pool_.n_blocks(), 0);
  for (const Sequence* sequence : running_) check_sequence(*sequence, holders);
  for (const Sequence* sequence : waiting_) {
    CHECK(sequence->blocks.empty() && sequence->computed_len == 0);
  }
  CHECK(n_running() <= limits_.sequences_max);
  for (int32_t block = 0; block < pool_.n_blocks(); ++block) {
    CHECK(pool_.holders(block) == holders[block]);
    if (holders[block] == 0 && cache_.known(block)) CHECK(cache_.ready(block));
  }
}

}  // namespace polymath::engine
