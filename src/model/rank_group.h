#pragma once

// Tensor parallelism in one process: a rank's part of the model on each backend, driven as one model.
//
//   ASSIGN_OR_RETURN(auto model, RankGroup::load(config, checkpoint, backends, options));
//   model->start(batch);      // every rank computes its part of the same step, and they sum as they go
//
// The first rank runs on the caller's thread, each other one on a thread of its own.

#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "model/balance/expert_balancer.h"
#include "model/loading/load.h"

namespace polymath::model {

class RankGroup : public Transformer {
 public:
  // One backend a rank; they outlive the group. Weights are read rank by rank. One alone: load_model().
  // kInvalidArgument: the model's heads or features do not divide by the ranks. Else as load_model.
  static absl::StatusOr<std::unique_ptr<Transformer>> load(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                           const std::vector<backend::Backend*>& backends,
                                                           const LoadOptions& options);
  ~RankGroup() override;

  absl::Status start(const Batch& batch) override;
  absl::StatusOr<StepResult> finish() override;
  bool make_fault() override { return first().make_fault(); }
  bool samples_on_device() const override { return first().samples_on_device(); }
  int steps_in_flight_max() const override { return first().steps_in_flight_max(); }
  int vocab() const override { return first().vocab(); }
  int n_adapters() const override { return first().n_adapters(); }
  std::vector<ExpertLoad> expert_load() const override { return first().expert_load(); }  // every rank routes alike
  size_t kv_block_bytes(const CacheOptions& options) const override;
  size_t state_bytes() const override;
  bool has_state() const override { return first().has_state(); }
  absl::Status reserve(const backend::StepLimits& limits) override;
  absl::Status make_cache(const CacheOptions& options) override;
  const ModelConfig& config() const override { return config_; }
  size_t weight_bytes() const override;
  size_t scratch_bytes() const override;
  size_t kv_bytes() const override;
  size_t graph_bytes() const override;
  const BalanceReport* balance_report() const override { return balancer_ ? &balancer_->report() : nullptr; }
  layers::StepCost last_step_cost() override;

 private:
  struct Workers;
  using OneRank = absl::FunctionRef<absl::Status(size_t rank)>;

  RankGroup(const ModelConfig& config, std::vector<std::unique_ptr<parallel::Communicator>> communicators);
  Transformer& first() const { return *ranks_.front(); }
  // Runs `f` on every rank's thread at once; the first error.
  absl::Status on_every_rank(OneRank f);
  size_t sum(absl::FunctionRef<size_t(const Transformer&)> of) const;

  const ModelConfig config_;
  std::vector<std::unique_ptr<parallel::Communicator>> communicators_;
  std::vector<std::unique_ptr<Transformer>> ranks_;
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<ExpertBalancer> balancer_;  // null: experts stay on their ranks
};

}  // namespace polymath::model
