#pragma once

// What fits in memory, decided before anything is loaded.
//
//   ASSIGN_OR_RETURN(const Planner planner, Planner::create({config, checkpoint, load_options}, backends));
//   const MemoryPlan plan = planner.plan(request);    // allocates nothing
//   if (!plan.fits()) ...                             // print plan, refuse
//   ... load_model, reserve(request.step), make_cache(plan.cache_options(request.cache))
//
// weights, scratch and kv_cache() are exact, since the functions that allocate compute them. graphs and margin are
// estimates. Allocators round up; the margin covers it.
//
// Thread safety: a Planner is read by any thread.

#include <map>
#include <string>
#include <vector>

#include "model/loading/load.h"
#include "model/memory.h"

namespace polymath::plan {

// The margin on a device, an estimate: for CUDA graphs and kernels that the driver loads, and for each buffer.
// cudaMalloc gives large buffers whole pages of 2 MiB: half a page is lost on average.
constexpr int64_t kDeviceMarginBytes = int64_t{1} << 30;
constexpr int64_t kRoundingBytes = int64_t{1} << 20;

// Memory that the plan may use, in bytes.
struct MemoryBudget {
  int64_t available = 0;   // without held_back
  int64_t held_back = 0;   // of a device: left to others by --gpu-memory-utilization
  int64_t total = 0;       // of a device
  bool is_device = false;  // false: host memory, shared with everything else
};

struct PlanRequest {
  backend::StepLimits step;   // tokens_max, seqs_max, logit_rows_max, blocks_max
  model::CacheOptions cache;  // block_size and dtype; n_blocks 0: as many as fit and can be used
  int model_len = 0;          // tokens of the longest sequence; a plan with less room fits unless `whole_len`
  bool whole_len = false;
  bool snapshots = true;  // of recurrent states, for prefix hits
  int64_t kv_bytes = 0;   // of KV blocks and states; 0: all that is left of a device, a share of a host
  MemoryBudget memory;
};

struct MemoryPlan {
  int64_t weights = 0;                      // with rotary tables, expert counters and adapters
  std::map<std::string, int64_t> matrices;  // bytes of the weights' matrices by use, as RankMemory::by_use()
  int64_t scratch = 0;                      // of the largest step
  int64_t kv_block_bytes = 0, n_blocks = 0;
  int64_t state_bytes = 0;                 // of one state slot
  int n_live_states = 0, n_snapshots = 0;  // state slots: of running sequences, of prefixes
  int64_t graphs = 0;                      // estimate: CUDA graphs; a part of margin
  int64_t margin = 0;                      // estimate: graphs, the driver's kernels, rounding of allocations
  int64_t kv_bytes_max = 0;                // what KV blocks and states may take
  int64_t tokens = 0;                      // that the KV blocks hold
  int64_t tokens_least = 0;                // that they must hold
  MemoryBudget memory;

  int n_state_slots() const { return n_live_states + n_snapshots; }
  int64_t kv_cache() const { return kv_block_bytes * n_blocks + state_bytes * n_state_slots(); }
  // What weights, scratch and margin leave; negative: they do not fit.
  int64_t left() const { return memory.available - weights - scratch - margin; }
  bool has_cache() const { return n_blocks >= 2 && tokens >= tokens_least && (state_bytes == 0 || n_live_states > 0); }
  bool fits() const { return left() > 0 && kv_cache() <= left() && has_cache(); }
  model::CacheOptions cache_options(model::CacheOptions options) const {
    options.n_blocks = n_blocks;
    options.n_state_slots = n_state_slots();
    return options;
  }
};

class Planner {
 public:
  // One backend a rank, stage by stage; a plan is the sum over ranks, which share one memory. Config, options and
  // backends outlive the planner. kInvalidArgument: as RankMemory::measure and check_stages.
  static absl::StatusOr<Planner> create(const model::MemorySource& source,
                                        const std::vector<const backend::Backend*>& backends);
  // REQUIRES: step.tokens_max, step.seqs_max, step.blocks_max >= 1.
  MemoryPlan plan(const PlanRequest& request) const;

 private:
  explicit Planner(const model::LoadOptions& options) : options_(&options) {}

  const model::LoadOptions* options_;
  std::vector<model::RankMemory> ranks_;
};

}  // namespace polymath::plan
