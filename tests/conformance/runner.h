#pragma once

// Runs a model on token ids without an engine: one or several sequences, in chunks of any size.
// The blocks of its paged cache are in scattered order.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan/memory_plan.h"

namespace polymath::conformance {

struct RunnerOptions {
  std::string backend = "reference";
  std::string isa;
  tensor::DType dtype = tensor::DType::kF32;
  int block_size = 16;
  int threads = 2;                                    // in all
  int ranks = 1;                                      // of tensor parallelism, in each stage
  int stages = 1;                                     // of the pipeline
  bool whole_experts = false;                         // with ranks: expert parallelism
  std::optional<model::BalanceOptions> balance = {};  // with whole_experts
  std::vector<std::string> adapters;                  // directories
  std::vector<const quant::QuantFormat*> pack_to = {};
  std::shared_ptr<parallel::NodeMesh> nodes = {};  // of ranks * stages nodes; null: the ranks are in this process
};

// One prompt of reference.safetensors.
struct Reference {
  std::vector<int32_t> ids, argmax, greedy;
  std::vector<float> logits, margin;  // logits of the last `logit_rows` positions
  int logit_rows = 0;
};

std::vector<std::string> model_names();
std::string model_directory(const std::string& name);
absl::StatusOr<std::vector<Reference>> read_references(const std::string& name, int vocab);

class Runner {
 public:
  static absl::StatusOr<std::unique_ptr<Runner>> create(const std::string& path, const RunnerOptions& options);
  static absl::StatusOr<std::unique_ptr<Runner>> create(const model::ModelConfig& config,
                                                        weights::Checkpoint& checkpoint, const RunnerOptions& options);

  // A node other than 0: computes its rank's steps until the runner of node 0 is destroyed.
  static absl::Status follow(const std::string& path, const RunnerOptions& options);

  struct Sequence {
    std::vector<int32_t> tokens;  // all of them
    int computed = 0;
    int adapter = -1;
  };
  // Computes up to `chunk` more tokens of each sequence (0: all) in one step.
  // Returns the logits of every computed row, [rows, vocab].
  absl::StatusOr<std::vector<float>> step(std::vector<Sequence*> sequences, int chunk);
  int vocab() const { return model_->vocab(); }
  model::Transformer& model() { return *model_; }
  const plan::MemoryPlan& plan() const { return plan_; }  // made before the model was loaded

 private:
  // kInternal: what was allocated is not what the plan said, to the byte.
  absl::Status check_memory() const;

  static constexpr int kSequencesMax = 8;
  int blocks_per_sequence_ = 0;
  RunnerOptions options_;
  std::vector<std::unique_ptr<backend::Backend>> backends_;
  plan::MemoryPlan plan_;
  std::unique_ptr<model::Transformer> model_;
};

}  // namespace polymath::conformance
