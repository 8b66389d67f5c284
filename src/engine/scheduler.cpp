#include "engine/scheduler.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::engine {
namespace {

// Recurrent layers resume only at snapshots. Without them, nothing is shared.
SchedulerLimits with_defaults(SchedulerLimits limits) {
  if (limits.logit_rows_max == 0) limits.logit_rows_max = limits.sequences_max;
  if (limits.policy == nullptr) limits.policy = &policies().front();
  if (limits.n_state_slots > 0 && limits.n_state_snapshots == 0) limits.prefix_caching = false;
  return limits;
}

}  // namespace

StepShape StepPlan::shape() const {
  StepShape shape;
  for (size_t i = 0; i < items.size(); ++i) (i < n_decodes ? shape.n_decodes : shape.n_prompt) += items[i].n_tokens;
  return shape;
}

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(with_defaults(limits)),
      policy_(*limits_.policy),
      pool_(limits.n_blocks),
      cache_(limits.n_blocks),
      states_(limits.n_state_slots, limits.n_state_slots > 0 ? limits.n_state_snapshots : 0, limits.n_blocks),
      hasher_(cache_.seed()) {
  CHECK(limits.block_size >= 1 && limits.sequences_max >= 1 && limits.step_tokens_max >= 1);
  CHECK(limits.waiting_max >= 1 && limits.snapshot_blocks >= 0);
  CHECK(limits.n_draft_max == 0 || limits.n_state_slots == 0);  // a state cannot go back over rejected drafts
  CHECK(limits_.logit_rows_max >= limits.sequences_max);
  running_.reserve(limits.sequences_max);
  waiting_.reserve(limits.waiting_max + limits.sequences_max);  // all that run may come back
  items_.reserve(limits.sequences_max);
  preempted_.reserve(limits.sequences_max);
  state_copies_.reserve(limits.sequences_max);
  state_saves_.reserve(limits.sequences_max);
}

// The last token sampled never goes through the model: it needs no room.
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
  enqueue(sequence);
  return absl::OkStatus();
}

void Scheduler::enqueue(Sequence& sequence) {
  insert(waiting_, sequence);
  n_waiting_tokens_ += sequence.prompt_len;
}

void Scheduler::insert(std::vector<Sequence*>& queue, Sequence& sequence) {
  const auto before = [this](const Sequence* a, const Sequence* b) { return policy_.before(*a, *b); };
  CHECK(queue.size() < queue.capacity());
  queue.insert(std::upper_bound(queue.begin(), queue.end(), &sequence, before), &sequence);
}

int Scheduler::n_decoding() const {
  return static_cast<int>(
      std::count_if(running_.begin(), running_.end(), [](const Sequence* s) { return s->decodes(); }));
}

int64_t Scheduler::n_prefill_tokens() const {
  int64_t n = 0;
  for (const Sequence* sequence : running_) n += std::max(0, sequence->prefill_len - sequence->computed_len);
  return n;
}

StepPlan Scheduler::plan(const StepRoom& room) {
  items_.clear();
  preempted_.clear();
  state_copies_.clear();
  state_saves_.clear();
  n_deferred_ = 0;
  states_.begin_step();
  give_decodes_blocks();
  tokens_left_ = limits_.step_tokens_max;
  extra_rows_left_ = limits_.logit_rows_max - n_running();
  plan_decodes(room.decodes_max > 0 ? room.decodes_max : limits_.sequences_max);
  prefill_left_ = tokens_left_;
  if (room.prefill_max > 0) prefill_left_ = std::min(prefill_left_, room.prefill_max);
  if (!items_.empty() && room.mixed_prefill_max > 0) prefill_left_ = std::min(prefill_left_, room.mixed_prefill_max);
  plan_prefills();
  if (preempted_.empty()) plan_waiting();
  plan_drafts();
  return {items_, n_decodes_, preempted_, state_copies_, state_saves_};
}

// Before anything is planned, so that no planned sequence loses its blocks afterwards.
void Scheduler::give_decodes_blocks() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (blocks_for(sequence.computable_len()) <= static_cast<int>(sequence.blocks.size())) continue;
    while (pool_.n_free() == 0 && i < running_.size()) preempt_last();
    if (i < running_.size()) sequence.blocks.push_back(take_block());
  }
}

void Scheduler::plan_decodes(int decodes_max) {
  for (Sequence* sequence : running_) {
    if (!sequence->decodes() || tokens_left_ == 0 || static_cast<int>(items_.size()) == decodes_max) continue;
    items_.push_back({sequence, 1});
    --tokens_left_;
    if (has_states()) save_state(*sequence, sequence->computed_len + 1);
  }
  n_decodes_ = items_.size();
}

void Scheduler::plan_prefills() {
  for (Sequence* sequence : running_) {
    if (sequence->computed_len < sequence->prefill_len && sequence->remaining() > 0 && prefill_left_ > 0) {
      add_prefill(*sequence);
    }
  }
}

void Scheduler::plan_waiting() {
  const size_t running_max = std::min(limits_.sequences_max, limits_.step_tokens_max);
  for (size_t i = 0; i < waiting_.size() && prefill_left_ > 0;) {
    if (running_.size() >= running_max || extra_rows_left_ <= 0) return;
    if (has_states() && states_.n_live_free() == 0) return;
    Sequence& sequence = *waiting_[i];
    if (sequence.n_in_flight > 0) return;  // preempted; its next token is not known yet
    const Match found = match(sequence);
    if (found.wait) {
      ++i;
      ++n_deferred_;
      continue;
    }
    const int64_t needed = blocks_for(sequence.token_len()) - found.n_blocks;
    const int64_t growth = n_running();  // otherwise the newcomer would soon be preempted
    if (pool_.n_free() - found.n_free < needed + growth) return;
    waiting_.erase(waiting_.begin() + i);
    n_waiting_tokens_ -= sequence.prompt_len;
    start(sequence, found);
    --extra_rows_left_;
    add_prefill(sequence);
  }
}

int Scheduler::draft_room() const {
  return std::max(0, std::min(limits_.step_tokens_max, limits_.logit_rows_max) - n_running());
}

// Drafts take free blocks only. accept() gives them back, so the next step's decodes lose none.
void Scheduler::plan_drafts() {
  if (limits_.n_draft_max == 0) return;
  for (StepItem& item : std::span(items_).first(n_decodes_)) {
    Sequence& sequence = *item.sequence;
    if (sequence.drafts.empty()) continue;
    CHECK(sequence.n_unknown == 0);
    const int proposed = static_cast<int>(sequence.drafts.size());
    const int most = sequence.token_len_max - 1 - sequence.token_len();  // one more token is sampled after them
    int n = std::min({proposed, limits_.n_draft_max, most, tokens_left_, extra_rows_left_});
    while (blocks_for(sequence.token_len() + n) > static_cast<int>(sequence.blocks.size()) && pool_.n_free() > 0) {
      sequence.blocks.push_back(take_block());
    }
    n = std::min(n, static_cast<int>(sequence.blocks.size()) * limits_.block_size - sequence.token_len());
    if (n <= 0) continue;
    item.n_tokens += n;
    item.n_draft = sequence.n_draft = n;
    tokens_left_ -= n;
    extra_rows_left_ -= n;
  }
}

// A chunk ends at the token budget, the row budget, or a snapshot's edge.
void Scheduler::add_prefill(Sequence& sequence) {
  int n = std::min(sequence.remaining(), prefill_left_);
  if (has_states()) n = std::min(n, next_edge(sequence) - sequence.computed_len);
  const int first_row = std::max(sequence.computed_len, sequence.logits_from);
  if (first_row < sequence.prompt_len - 1) {
    n = std::min(n, first_row - sequence.computed_len + 1 + extra_rows_left_);
    extra_rows_left_ -= std::max(0, sequence.computed_len + n - first_row - 1);
  }
  items_.push_back({&sequence, n});
  tokens_left_ -= n;
  prefill_left_ -= n;
  if (has_states()) save_state(sequence, sequence.computed_len + n);
}

// The next position after computed_len whose state gets a snapshot.
int Scheduler::next_edge(const Sequence& sequence) const {
  int edge = std::numeric_limits<int>::max();
  if (!limits_.prefix_caching) return edge;
  const int every = limits_.snapshot_blocks * limits_.block_size;
  if (every > 0) edge = (sequence.computed_len / every + 1) * every;
  const int last = (sequence.prefill_len - 1) / limits_.block_size * limits_.block_size;
  return last > sequence.computed_len ? std::min(edge, last) : edge;
}

void Scheduler::save_state(const Sequence& sequence, int end) {
  if (end != next_edge(sequence)) return;
  const int32_t block = sequence.blocks[end / limits_.block_size - 1];
  const int32_t snapshot = states_.snapshot_of(block) < 0 ? states_.take_snapshot(block) : -1;
  if (snapshot >= 0) state_saves_.push_back({sequence.state_slot, snapshot});
}

// Whether its awaited block is still pending. Cheaper than to match again.
bool Scheduler::awaits(const Sequence& sequence) const {
  if (sequence.awaited < 0) return false;
  const int32_t block = cache_.find(sequence.digests[sequence.awaited]);
  return block >= 0 && !cache_.ready(block);
}

// The longest prefix whose blocks are ready. At least one token stays to be computed: its logits are wanted.
Scheduler::Match Scheduler::match(Sequence& sequence) const {
  Match found;
  if (awaits(sequence)) {
    found.wait = true;
    return found;
  }
  sequence.awaited = -1;
  if (!limits_.prefix_caching) return found;
  const bool reports_prompt = sequence.logits_from < sequence.prompt_len - 1;  // its log probabilities need the logits
  const int skippable = reports_prompt ? sequence.logits_from : sequence.token_len() - 1;
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
  if (has_states()) cut_to_snapshot(sequence, named, found);
  return found;
}

// Recurrent layers resume at the last snapshot within the match. Waiting pays only if a later snapshot will come: at a
// multiple of snapshot_blocks, or at an equal prompt's end.
void Scheduler::cut_to_snapshot(Sequence& sequence, int named, Match& found) const {
  const auto block_of = [&](int i) { return cache_.find(sequence.digests[i]); };
  int n_known = found.n_blocks;  // ready or pending
  while (n_known < named && block_of(n_known) >= 0) ++n_known;
  for (; found.n_blocks > 0; --found.n_blocks) {
    const int32_t block = block_of(found.n_blocks - 1);
    if (states_.snapshot_of(block) >= 0) break;
    found.n_free -= pool_.holders(block) == 0;
  }
  const int every = limits_.snapshot_blocks;
  const bool pays = n_known == named || (every > 0 && n_known / every * every > found.n_blocks);
  if (found.wait && pays) return;
  found.wait = false;
  sequence.awaited = -1;
}

// Takes blocks for all its tokens: a started prefill never lacks one. Announces the full ones as pending, so that other
// sequences wait for them.
void Scheduler::start(Sequence& sequence, const Match& match) {
  CHECK(sequence.n_unknown == 0);  // a plan that preempts starts none, so its unknown token has arrived since
  for (int i = 0; i < match.n_blocks; ++i) {
    const int32_t block = cache_.find(sequence.digests[i]);
    pool_.hold(block);
    sequence.blocks.push_back(block);
  }
  if (has_states()) start_state(sequence, match);
  for (int i = match.n_blocks; i < blocks_for(sequence.token_len()); ++i) {
    const int32_t block = take_block();
    sequence.blocks.push_back(block);
    const bool named = limits_.prefix_caching && i < static_cast<int>(sequence.digests.size());
    if (named) cache_.add(sequence.digests[i], block, false);
  }
  sequence.n_shared = match.n_blocks;
  sequence.computed_len = match.n_blocks * limits_.block_size;
  sequence.prefill_len = sequence.token_len();
  if (sequence.cached_len < 0) {
    sequence.cached_len = sequence.computed_len;
    if (limits_.prefix_caching) counts_.cache_queries += sequence.prompt_len;
    counts_.cache_hits += sequence.cached_len;
  }
  insert(running_, sequence);
}

// The live state starts as the last matched block's snapshot, or zeros.
void Scheduler::start_state(Sequence& sequence, const Match& match) {
  sequence.state_slot = states_.take_live();
  CHECK(sequence.state_slot >= 0);
  int32_t from = -1;
  if (match.n_blocks > 0) {
    from = states_.snapshot_of(sequence.blocks.back());
    states_.use(sequence.blocks.back());
  }
  state_copies_.push_back({from, sequence.state_slot});
}

int32_t Scheduler::take_block() {
  const int32_t block = pool_.allocate();
  CHECK(block >= 0);
  forget(block);
  return block;
}

// A snapshot lives and dies with the name of its block.
void Scheduler::forget(int32_t block) {
  cache_.forget(block);
  states_.drop(block);
}

void Scheduler::preempt_last() {
  Sequence& sequence = *running_.back();
  running_.pop_back();
  release(sequence);
  enqueue(sequence);
  preempted_.push_back(&sequence);
  ++sequence.n_preempted;
  ++counts_.preemptions;
}

// Last block first: a chain is evicted from its end. A block that is not ready will never be. Sequences that wait for
// it go on alone.
void Scheduler::release(Sequence& sequence) {
  for (; !sequence.blocks.empty(); sequence.blocks.pop_back()) {
    const int32_t block = sequence.blocks.back();
    if (!cache_.ready(block)) forget(block);
    pool_.release(block, cache_.known(block));
  }
  if (sequence.state_slot >= 0) states_.give_live(sequence.state_slot);
  sequence.state_slot = -1;
  sequence.computed_len = sequence.n_shared = sequence.n_draft = 0;
}

void Scheduler::commit(const StepPlan& plan) {
  for (const StepItem& item : plan.items) {
    item.sequence->computed_len += item.n_tokens - item.n_draft;
    CHECK(item.sequence->computed_len <= item.sequence->length());
    share(*item.sequence);
  }
}

void Scheduler::accept(Sequence& sequence, int n_accepted) {
  CHECK(n_accepted >= 0);
  if (sequence.n_draft > 0) {  // 0: there were none, or it was preempted and computes them again
    CHECK(n_accepted <= sequence.n_draft);
    sequence.n_draft = 0;
    sequence.computed_len += n_accepted;
    CHECK(sequence.computed_len <= sequence.token_len());
    for (int n = blocks_for(sequence.computable_len()); n < static_cast<int>(sequence.blocks.size());) {
      pool_.release(sequence.blocks.back(), false);
      sequence.blocks.pop_back();
    }
  }
  share(sequence);
}

// Tells the prefix cache of blocks that became full of known, computed tokens.
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
    } else if (!cache_.add(sequence.digests[i], block, true)) {  // another block has this name: both stay
      states_.move(block, cache_.find(sequence.digests[i]));
    }
  }
}

void Scheduler::finish(Sequence& sequence) {
  for (auto* queue : {&running_, &waiting_}) {
    const auto at = std::find(queue->begin(), queue->end(), &sequence);
    if (at == queue->end()) continue;
    queue->erase(at);
    if (queue == &waiting_) n_waiting_tokens_ -= sequence.prompt_len;
    release(sequence);
    return;
  }
  CHECK(false && "the sequence was never admitted");
}

void Scheduler::check_sequence(const Sequence& sequence, std::vector<int>& holders) const {
  CHECK(0 <= sequence.computed_len && sequence.computed_len <= sequence.length());
  CHECK(0 <= sequence.n_unknown && sequence.length() <= sequence.token_len_max);
  CHECK(0 <= sequence.n_draft && sequence.length() + sequence.n_draft <= sequence.token_len_max);
  CHECK(blocks_for(sequence.computed_len) <= static_cast<int>(sequence.blocks.size()));
  CHECK(blocks_for(sequence.length() + sequence.n_draft) >= static_cast<int>(sequence.blocks.size()));
  CHECK((sequence.state_slot >= 0) == has_states());
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

void Scheduler::check_blocks(const std::vector<int>& holders) const {
  for (int32_t block = 0; block < pool_.n_blocks(); ++block) {
    CHECK(pool_.holders(block) == holders[block]);
    if (holders[block] == 0 && cache_.known(block)) CHECK(cache_.ready(block));
    if (holders[block] == 0 && states_.snapshot_of(block) >= 0) CHECK(cache_.known(block));
  }
}

void Scheduler::check_invariants() const {
  pool_.check_invariants();
  cache_.check_invariants();
  states_.check_invariants();
  std::vector<int> holders(pool_.n_blocks(), 0);
  for (const Sequence* sequence : running_) check_sequence(*sequence, holders);
  int64_t waiting_tokens = 0;
  for (const Sequence* sequence : waiting_) {
    waiting_tokens += sequence->prompt_len;
    CHECK(sequence->blocks.empty() && sequence->computed_len == 0);
    CHECK(sequence->n_draft == 0 && sequence->state_slot == -1);
  }
  CHECK(waiting_tokens == n_waiting_tokens_);
  CHECK(n_running() <= limits_.sequences_max);
  CHECK(!has_states() || states_.n_live_free() + n_running() == limits_.n_state_slots);
  check_blocks(holders);
}

}  // namespace polymath::engine
