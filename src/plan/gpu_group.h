#pragma once

// What a model takes on each GPU of a group, and what is left for KV cache. Needs no GPU.
//
//   ASSIGN_OR_RETURN(const GroupPlanner planner, GroupPlanner::create({config, checkpoint, stored}));
//   ASSIGN_OR_RETURN(const GroupPlan plan, planner.plan(request));
//   if (plan.fits(sequences, tokens)) ...
//
// Weights and KV cache are exact: slots, splits and formats are the loader's. Activations are the model's buffers and
// the reference backend's scratch. Contexts and peer buffers are estimates.
//
// Thread safety: const methods may run at once.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/loading/load.h"
#include "model/loading/weight_store.h"
#include "model/loading/weight_table.h"
#include "model/memory.h"
#include "plan/hardware.h"
#include "plan/step_work.h"

namespace polymath::plan {

// GPUs that hold one model. Attention is split over `tensor`; experts are split over tensor * data.
struct Layout {
  int tensor = 1;
  int pipeline = 1;              // stages of consecutive layers
  int data = 1;                  // groups with sequences of their own; they share the experts
  bool expert_parallel = false;  // whole experts on each GPU, instead of a part of each
  int gpus() const { return tensor * pipeline * data; }
  int expert_ranks() const { return tensor * data; }
};

// How matrices are stored: formats, best first. Empty: plain, in the config's type. Others stay plain.
struct StoredAs {
  std::vector<const quant::QuantFormat*> experts, linear, head;
};
// "bfloat16", "none": plain. "mxfp4" of gpt-oss: the experts alone. fp8, int8, awq, gptq, int4, nvfp4 and the names of
// GGUF's block formats: experts and linear layers. kInvalidArgument: no such name.
absl::StatusOr<StoredAs> stored_as(std::string_view name);

struct GroupSource {
  const model::ModelConfig& config;       // outlives the planner
  const weights::Checkpoint& checkpoint;  // outlives the planner; a dummy: `stored` decides
  StoredAs stored;
};

struct GroupRequest {
  Layout layout;
  const Gpu* gpu = nullptr;
  double memory_share = 0.9;  // of a GPU: --gpu-memory-utilization
  backend::StepLimits step;   // of one data-parallel group
  model::CacheOptions cache;  // n_blocks and n_state_slots are not read
  int model_len = 0;          // tokens of the longest sequence
};

// One GPU's share, in bytes. Of a pipeline, the stage's with the least room for KV cache.
struct GpuShare {
  std::map<std::pair<std::string, std::string>, int64_t> by_use;  // (use, format) -> bytes
  int64_t weights = 0;                                            // with vectors and rotary tables
  int64_t activations = 0;                                        // estimate, see above
  int64_t context = 0, peers = 0, margin = 0;                     // estimates
  int64_t kv_token_bytes = 0;                                     // of the GPU's layers and heads
  int64_t state_bytes = 0;                                        // of one sequence, of recurrent layers
  StepWork work;
};

struct GroupPlan {
  Layout layout;
  const Gpu* gpu = nullptr;
  int64_t usable = 0;            // bytes of a GPU: its memory times the share
  std::vector<GpuShare> stages;  // one a pipeline stage
  int fullest = 0;               // the stage with the least room

  const GpuShare& share() const { return stages[static_cast<size_t>(fullest)]; }
  int64_t left(const GpuShare& share) const {  // negative: the rest does not fit
    return usable - share.weights - share.activations - share.context - share.peers - share.margin;
  }
  // Tokens of KV cache of all data-parallel groups together, beside `sequences` states; 0: none.
  int64_t tokens(int64_t sequences) const;
  // Whether so many sequences of so many tokens fit at once, spread evenly over the data-parallel groups.
  bool fits(int64_t sequences, int64_t length) const {
    return tokens(sequences) / layout.data >= (sequences + layout.data - 1) / layout.data * length;
  }
  // The most sequences of `length` tokens at once, whole blocks each.
  int64_t sequences_of(int64_t length, int block_size) const;
};

class GroupPlanner {
 public:
  static absl::StatusOr<GroupPlanner> create(const GroupSource& source);
  // kInvalidArgument: the layout does not divide the model; the message says what does not divide.
  absl::StatusOr<GroupPlan> plan(const GroupRequest& request) const;
  const model::ModelConfig& config() const { return source_.config; }

 private:
  explicit GroupPlanner(const GroupSource& source);
  absl::StatusOr<model::ModelConfig> part_of(const Layout& layout, const parallel::Stage& stage) const;
  absl::StatusOr<GpuShare> share_of(const GroupRequest& request, const parallel::Stage& stage) const;
  void add_slots(const GroupRequest& request, const parallel::Stage& stage, GpuShare& share) const;
  std::vector<model::WeightPart> parts_of(const model::Slot& slot, parallel::Rank rank) const;

  GroupSource source_;
  model::WeightTable table_;
  std::shared_ptr<const backend::Backend> backend_;  // the reference: it keeps every format as it is stored
};

}  // namespace polymath::plan
