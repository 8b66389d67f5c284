#pragma once

// From a model on disk to a Model that is ready to run.
//
//   ASSIGN_OR_RETURN(ModelConfig config, read_config(*files));
//   RETURN_IF_ERROR(untie_stored_head(*checkpoint, config));
//   ASSIGN_OR_RETURN(auto transformer, load_model(config, *checkpoint, *backend, options));
//   RETURN_IF_ERROR(transformer->reserve(limits));                               // scratch for the largest step
//   RETURN_IF_ERROR(transformer->make_cache({16, tensor::DType::kBf16, n_blocks}));  // then forward() may run
//
// Every weight is taken from the checkpoint one at a time, packed by the backend, and let go.
// Slots never filled are an error, listed by name. Names never used are counted in the log, or listed in a warning.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "base/json.h"
#include "kvcache/kv_cache.h"
#include "layers/step_cost.h"
#include "model/balance/options.h"
#include "model/config.h"
#include "model/model.h"
#include "parallel/nodes/node_mesh.h"
#include "parallel/rank_trace.h"
#include "weights/checkpoint.h"
#include "weights/model_files.h"

namespace polymath::model {

// config() and generation_config() of a model on disk. kInvalidArgument: a field is missing, of a wrong type or out of
// range; the message names it. kUnimplemented: an unknown architecture; the message lists the known ones.
// `overrides` go over config() first, as override_keys() does it.
absl::StatusOr<ModelConfig> read_config(const weights::ModelFiles& files, const base::JsonObject& overrides = {});
absl::StatusOr<ModelConfig> parse_config(const base::JsonValue& config);
// Unties a config whose checkpoint stores an output head that differs from its embedding: the stored one counts.
// Reads both, where both are stored. Call it before the config is used.
absl::Status untie_stored_head(weights::Checkpoint& checkpoint, ModelConfig& config);
// Names of every architecture, in the order of model/arch/list.cpp.
std::vector<std::string> architecture_names();

class SharedWeights;  // model/loading/shared_weights.h

struct LoadOptions {
  tensor::DType dtype = tensor::DType::kBf16;  // of plain weights (f32, f16, bf16); Backend::kept_format decides
  // Formats that plain matrices of linear layers and experts are packed to, best first. Empty: they stay plain.
  std::vector<const quant::QuantFormat*> pack_to;
  int model_len = 0;           // positions to make rotary tables for; 0: the model's positions_max
  bool capture_graphs = true;  // of decode steps, by make_cache(), where the backend can
  // The ranks that share each layer; null: this model is alone. It loads its rank's part, and outlives the model.
  parallel::Communicator* group = nullptr;
  bool whole_experts = false;  // expert parallelism: each rank has some experts, instead of a part of each
  // With whole_experts and `group`: each rank is a replica with all else, and with tokens of its own.
  bool own_tokens = false;
  // Weights that models of other replicas read, too. Null: the model has its own.
  std::shared_ptr<SharedWeights> shared;
  bool shares_weights = false;            // with `shared`: another model loads them, and counts their bytes
  std::optional<BalanceOptions> balance;  // with whole_experts: they move between the ranks by their load
  // The layers of each pipeline stage, for RankGroup and memory plans. Empty: one stage.
  std::vector<int> stages;
  parallel::Stage stage = {};  // that load_model() loads
  // Pairs with the rank of the same place in the stage before and after: that one is 0 and 1. Null: there is none.
  parallel::Communicator *before = nullptr, *after = nullptr;
  parallel::RankTrace* trace = nullptr;  // what the rank is doing; null: nothing reads it
  // Of RankGroup: seconds without progress after which a rank is stuck; 0: no limit.
  double rank_timeout_s = 4;
  parallel::PlannedFault fault;  // of RankGroup
  // Of RankGroup and follow_node(): a rank a node. Null: the ranks are in this process.
  std::shared_ptr<parallel::NodeMesh> nodes;
  std::vector<std::string> adapters;  // directories of LoRA adapters; Batch::adapters names them by their index
  // Called after each tensor with the values (numbers) done and in all. May be empty.
  std::function<void(size_t done, size_t total)> progress;
};

struct CacheOptions {
  int block_size = 16;                             // tokens
  backend::KvType type{tensor::DType::kBf16, {}};  // of keys and values
  int64_t n_blocks = 0;
  int n_state_slots = 0;  // of recurrent layers: kvcache::StatePool::n_slots()
};

// Of the model that is loaded with these options.
parallel::Rank rank_of(const LoadOptions& options);
// The same of a rank, whatever options.group is.
parallel::Rank rank_at(const LoadOptions& options, int size, int at);

class MovableExperts;  // model/balance/movable_experts.h

// What one of several ranks holds, and did so far.
struct RankReport {
  int stage = 0;
  size_t weights = 0, scratch = 0, kv_cache = 0, graphs = 0;  // bytes
  bool on_host = false;  // else the times and bytes of its communication are not known: the device does it
  parallel::RankTrace::Totals totals;
};

class Transformer : public Model {
 public:
  // Bytes of one block over all layers (and ranks); n_blocks is not read.
  virtual size_t kv_block_bytes(const CacheOptions& options) const = 0;
  // Bytes of one state slot over all recurrent layers (and ranks).
  virtual size_t state_bytes() const = 0;
  // Memory for the largest step. REQUIRES: once, before make_cache. kResourceExhausted with a sum.
  virtual absl::Status reserve(const backend::StepLimits& limits) = 0;
  // The KV cache, then CUDA graphs of decode steps. REQUIRES: once, before the first step.
  // kResourceExhausted with the sum; kInvalidArgument: no such layout.
  virtual absl::Status make_cache(const CacheOptions& options) = 0;
  virtual const ModelConfig& config() const = 0;  // of the whole model, or of one rank's part
  // Bytes asked of the backends (Backend::allocated_bytes()), as model/memory.h predicts them:
  virtual size_t weight_bytes() const = 0;   // by load_model(): weights with padding, rotary tables, counters, adapters
  virtual size_t scratch_bytes() const = 0;  // by reserve()
  virtual size_t kv_bytes() const = 0;       // by make_cache(): KV blocks and state slots
  virtual size_t graph_bytes() const = 0;    // of the CUDA graphs
  // This rank's experts that may move, where LoadOptions::balance is set. Else null.
  virtual MovableExperts* movable_experts() { return nullptr; }
  // By rank; empty: the model is on one. Any thread, once it is loaded.
  virtual std::vector<RankReport> rank_reports() const { return {}; }
  // What the last step had to do at least. Experts are counted since the last call, so call it after each step.
  virtual layers::StepCost last_step_cost() = 0;
};

// kInvalidArgument: names missing, unread scales of weights, or a wrong shape. kResourceExhausted: no memory.
absl::StatusOr<std::unique_ptr<Transformer>> load_model(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                        backend::Backend& backend, const LoadOptions& options);

}  // namespace polymath::model
