#pragma once

// Builds checkpoint, backend, weights, KV cache and engine from the options. `serve`, `run` and `bench` add server and
// tokenizer as they need.
//
//   ASSIGN_OR_RETURN(auto runtime, Runtime::open(model, options));  // reads config.json, checks memory; fast
//   RETURN_IF_ERROR(runtime->load(registry));                       // weights, KV cache, the first forward pass
//   runtime->engine().start();

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/metrics.h"
#include "base/status.h"
#include "commands/options.h"
#include "engine/engine.h"
#include "model/loading/load.h"
#include "model/loading/shared_weights.h"
#include "plan/memory_plan.h"
#include "weights/model_files.h"

namespace polymath::commands {

// Tokens and sequences of a step.
struct StepSize {
  int tokens, sequences;
};
// Where no flag says them, on a device with that much memory. Steps of a large GPU pay only if they are large.
StepSize default_step_size(int64_t memory);

class Runtime {
 public:
  // One of RuntimeOptions::replicas. The others know the first, which has lower indices loaded before them.
  struct Replica {
    int index = 0;
    const Runtime* first = nullptr;  // null: it is the first
  };

  // kResourceExhausted: the model does not fit; the message has the sum and the flags that would make it fit.
  static absl::StatusOr<std::unique_ptr<Runtime>> open(const ModelOptions& model, const RuntimeOptions& options) {
    if (options.replicas > 1) return absl::UnimplementedError("--data-parallel-size: only `serve` runs replicas");
    return open(model, options, {});
  }
  static absl::StatusOr<std::unique_ptr<Runtime>> open(const ModelOptions& model, const RuntimeOptions& options,
                                                       Replica replica);
  // Like open() without the memory check, for callers that load no weights.
  static absl::StatusOr<std::unique_ptr<Runtime>> look(const ModelOptions& model, const RuntimeOptions& options) {
    return look(model, options, {});
  }
  // REQUIRES: called once, after open(). Engine, transformer and KV blocks exist only afterwards.
  absl::Status load(base::MetricsRegistry& metrics);
  // In place of load() on a node other than 0: computes its steps until node 0 ends the group. `ready`: once, when the
  // rank is loaded.
  absl::Status follow(const std::function<void()>& ready);

  engine::Engine& engine() { return *engine_; }
  model::Transformer& transformer() { return *transformer_; }
  backend::Backend& backend() const { return *backends_.front(); }
  std::vector<backend::Backend*> ranks() const;  // the backend of each
  const model::ModelConfig& config() const { return config_; }
  const weights::ModelFiles& files() const { return *files_; }
  int model_len_max() const { return model_len_; }        // load() may lower it to what the KV cache holds
  int block_size() const { return options_.block_size; }  // tokens of a KV block
  // Of all ranks' devices together; zeros: the host's limits count. Needs free memory, so call it before load().
  backend::DeviceLimits device_limits(tensor::DType dtype) const;
  bool shares_weights() const { return shared_weights_ != nullptr; }  // with other replicas
  int step_tokens_max() const { return step_tokens_; }
  tensor::DType weight_dtype() const { return dtype_; }
  backend::KvType kv_type() const { return kv_type_; }
  // The packed format that most of the matrices are kept in; null: plain ones. Opens the checkpoint.
  const quant::QuantFormat* packed_format() const;
  int64_t kv_blocks() const { return plan_.n_blocks; }
  const std::string& plan_summary() const { return plan_summary_; }  // the memory plan in words
  const std::string& plan_details() const { return plan_details_; }  // a line a part

 private:
  Runtime(const ModelOptions& model, const RuntimeOptions& options, Replica replica)
      : model_options_(model), options_(options), replica_(replica) {}
  static absl::StatusOr<std::unique_ptr<Runtime>> look(const ModelOptions& model, const RuntimeOptions& options,
                                                       Replica replica);
  absl::Status make_backends();
  absl::Status settle_types();
  absl::Status settle_stages();
  void size_step(StepSize defaults);  // what no flag says
  model::LoadOptions load_options() const;
  plan::MemoryBudget budget() const;
  plan::PlanRequest plan_request() const;
  absl::Status settle_memory();
  std::string settings_text() const;
  absl::StatusOr<model::LoadOptions> joined_options();
  std::vector<backend::Backend*> backends_of_group() const;
  bool over_nodes() const { return options_.nodes.size > 1; }
  absl::Status load_weights();
  absl::Status reserve_step();
  absl::Status make_cache();
  absl::StatusOr<bool> try_pass(int n);
  absl::Status warm_up();
  absl::Status time_passes();
  absl::Status not_finite() const;
  engine::MetricsOptions metrics_options() const;
  absl::Status make_engine(base::MetricsRegistry& metrics);

  const ModelOptions model_options_;
  const RuntimeOptions options_;
  const Replica replica_;
  std::shared_ptr<model::SharedWeights> shared_weights_;  // of the replicas in host memory; null: it has its own
  int64_t weights_once_ = 0;                              // bytes of the shared weights
  std::unique_ptr<weights::ModelFiles> files_;
  model::ModelConfig config_;
  tensor::DType dtype_ = tensor::DType::kBf16;
  backend::KvType kv_type_;
  plan::MemoryPlan plan_;
  std::string plan_summary_, plan_details_;
  backend::StepLimits step_limits_;    // as planned
  model::CacheOptions cache_options_;  // as planned
  std::vector<std::string> adapter_directories_;
  std::vector<const quant::QuantFormat*> pack_to_;
  std::vector<int> stages_;  // layers of each; empty: one stage
  int model_len_ = 0;
  int step_tokens_ = 0;
  int sequences_ = 0;
  engine::StepTimes times_;
  int logit_rows_ = 0;  // of a step: one a sequence, and one for each of its draft tokens
  std::vector<std::unique_ptr<backend::Backend>> backends_;  // by rank
  std::unique_ptr<weights::Checkpoint> checkpoint_;          // between open() and load(); null: it could not be opened
  std::unique_ptr<model::Transformer> transformer_;
  std::unique_ptr<engine::Engine> engine_;
};

// The device's backend; batch-invariant where that is asked for. threads 0: one a core.
absl::StatusOr<std::unique_ptr<backend::Backend>> make_backend(const RuntimeOptions& options,
                                                               backend::BackendOptions of_backend);

// The first served name: in responses and metric labels.
std::string served_name(const ModelOptions& model);

}  // namespace polymath::commands
