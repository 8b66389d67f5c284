#include "plan/memory_plan.h"

#include <algorithm>

#include "kvcache/block_pool.h"

namespace polymath::plan {
namespace {

constexpr int64_t kDefaultKvBytesMax = int64_t{4} << 30;  // of a host: more only if asked for
constexpr double kDefaultKvShare = 0.4;                   // of what a host has left

constexpr int64_t kSnapshotsPerSequence = 2;  // of recurrent state; more would seldom be resumed

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t kv_bytes_max(const PlanRequest& request, int64_t left) {
  if (request.kv_bytes > 0) return request.kv_bytes;
  const int64_t room = std::max<int64_t>(0, left);
  if (request.memory.is_device) return room;
  return std::min(kDefaultKvBytesMax, static_cast<int64_t>(kDefaultKvShare * static_cast<double>(room)));
}

// Up to half of the cache for recurrent states: a live one for each sequence, before any snapshot but one.
void size_states(const PlanRequest& request, MemoryPlan& plan) {
  if (plan.state_bytes == 0) return;
  const int64_t slots = plan.kv_bytes_max / 2 / plan.state_bytes, snapshots_least = request.snapshots ? 1 : 0;
  const int64_t live = std::clamp<int64_t>(slots - snapshots_least, 0, request.step.seqs_max);
  plan.n_live_states = static_cast<int>(live);
  if (request.snapshots && live > 0)
    plan.n_snapshots = static_cast<int>(std::min(slots - live, kSnapshotsPerSequence * live));
}

// Without a wish: no more blocks than every sequence at full length could use.
void size_blocks(const PlanRequest& request, MemoryPlan& plan) {
  const int64_t block_size = request.cache.block_size, of_sequence = ceil_div(request.model_len, block_size);
  const int64_t seqs = plan.state_bytes > 0 ? plan.n_live_states : request.step.seqs_max;
  const int64_t useful = std::max<int64_t>(2, seqs * of_sequence + 1);
  const int64_t room = plan.kv_bytes_max - plan.state_bytes * plan.n_state_slots();
  plan.n_blocks = plan.kv_block_bytes > 0 ? std::max<int64_t>(0, room) / plan.kv_block_bytes : useful;
  if (request.kv_bytes == 0) plan.n_blocks = std::min(plan.n_blocks, useful);
  if (request.cache.n_blocks > 0) plan.n_blocks = request.cache.n_blocks;
  plan.n_blocks = std::min<int64_t>(plan.n_blocks, kvcache::BlockPool::kBlocksMax);
  plan.tokens = plan.n_blocks * block_size;
  plan.tokens_least = request.whole_len ? request.model_len : block_size;
}

}  // namespace

absl::StatusOr<Planner> Planner::create(const model::MemorySource& source,
                                        const std::vector<const backend::Backend*>& backends) {
  CHECK(!backends.empty() && backends.size() % std::max<size_t>(1, source.options.stages.size()) == 0);
  RETURN_IF_ERROR(model::check_stages(source.config, source.options.stages));
  Planner planner(source.options);
  const std::vector<parallel::Stage> stages = parallel::stages_of(source.options.stages);
  const size_t size = backends.size() / stages.size();
  for (size_t r = 0; r < backends.size(); ++r) {
    parallel::Rank at = model::rank_at(source.options, static_cast<int>(size), static_cast<int>(r % size));
    at.stage = stages[r / size];
    ASSIGN_OR_RETURN(model::RankMemory rank, model::RankMemory::measure(source, *backends[r], at));
    planner.ranks_.push_back(std::move(rank));
  }
  return planner;
}

MemoryPlan Planner::plan(const PlanRequest& request) const {
  MemoryPlan plan;
  plan.memory = request.memory;
  const auto n_ranks = static_cast<int64_t>(ranks_.size());
  int64_t buffers = 0;
  for (const model::RankMemory& rank : ranks_) {
    plan.weights += rank.weights();
    for (const auto& [use, matrices] : rank.by_use()) plan.matrices[use] += matrices.bytes;
    plan.scratch += rank.scratch(request.step);
    plan.kv_block_bytes += rank.kv_block(request.cache);
    plan.state_bytes += rank.state_slot();
    plan.graphs += rank.graphs(request.step, *options_);
    buffers += rank.n_weights() + rank.n_caches();
  }
  if (request.memory.is_device) {
    plan.margin = std::max(n_ranks * kDeviceMarginBytes, plan.graphs) + buffers * kRoundingBytes;
  }
  plan.kv_bytes_max = kv_bytes_max(request, plan.left());
  size_states(request, plan);
  size_blocks(request, plan);
  return plan;
}

}  // namespace polymath::plan
