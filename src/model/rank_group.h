#pragma once

// One model over several backends in one process: tensor and expert parallelism, pipeline stages, and both together.
//
//   options.stages = {12, 12};     // of 4 backends, the first two have layers 0 to 11
//   ASSIGN_OR_RETURN(auto model, RankGroup::load(config, checkpoint, backends, options));
//   model->start(batch);           // every rank computes its part of the same step
//
// Each rank is a thread. The ranks of a stage sum as they go. A stage passes its residual on to the next: each rank to
// the rank of its place. With stages, as many steps are in flight as there are stages, so that each has one to compute.
//
// A rank that fails or gets stuck ends the group: see RankThreads.

#include <atomic>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "model/balance/expert_balancer.h"
#include "model/batch_copy.h"
#include "model/loading/load.h"
#include "model/rank_threads.h"
#include "parallel/nodes/control_link.h"

namespace polymath::model {

class RankGroup : public Transformer {
 public:
  // One backend a rank, stage by stage; they outlive the group. With options.nodes: null but for this node's rank.
  // Weights are read rank by rank. One alone: load_model(). kInvalidArgument: the model's heads or features do not
  // divide by the ranks, or its layers by the stages. Else as load_model.
  static absl::StatusOr<std::unique_ptr<Transformer>> load(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                           const std::vector<backend::Backend*>& backends,
                                                           const LoadOptions& options);
  ~RankGroup() override;

  // kInternal names the rank and what it was doing.
  absl::Status start(const Batch& batch) override;
  absl::StatusOr<StepResult> finish() override;
  bool make_fault() override { return first().make_fault(); }
  // Not with stages: the first one would need the tokens that the last one samples.
  bool samples_on_device() const override { return n_stages_ == 1 && first().samples_on_device(); }
  int steps_in_flight_max() const override;
  absl::Status health() const override;
  int vocab() const override { return first().vocab(); }
  int n_adapters() const override { return first().n_adapters(); }
  std::vector<ExpertLoad> expert_load() const override;
  size_t kv_block_bytes(const CacheOptions& options) const override;
  size_t state_bytes() const override;
  bool has_state() const override { return has_state_; }
  absl::Status reserve(const backend::StepLimits& limits) override;
  absl::Status make_cache(const CacheOptions& options) override;
  const ModelConfig& config() const override { return config_; }
  size_t weight_bytes() const override;
  size_t scratch_bytes() const override;
  size_t kv_bytes() const override;
  size_t graph_bytes() const override;
  const BalanceReport* balance_report() const override { return balancer_ ? &balancer_->report() : nullptr; }
  std::vector<RankReport> rank_reports() const override;
  layers::StepCost last_step_cost() override;

 private:
  struct Peer;  // a rank's communicators and trace
  struct InFlightStep {
    BatchCopy batch;
    uint64_t ticket = 0;
    StepResult result;  // of the last stage's first rank
  };

  RankGroup(const ModelConfig& config, const std::vector<backend::Backend*>& backends, const LoadOptions& options);
  absl::Status connect(const std::vector<backend::Backend*>& backends, const std::vector<int>& stages);
  std::unique_ptr<parallel::ControlLink> link_to(size_t rank, const LoadOptions& options);
  void rest(size_t rank);
  absl::Status load_ranks(weights::Checkpoint& checkpoint, const std::vector<backend::Backend*>& backends,
                          const LoadOptions& options);
  absl::Status start_balancer(const LoadOptions& options);
  void start_threads(const std::vector<backend::Backend*>& backends, double timeout_s);
  // The first rank of the last stage. It is in this process, and its results count.
  size_t result_rank() const { return peers_.size() - static_cast<size_t>(tensor_size_); }
  Transformer& first() const { return *ranks_[result_rank()]; }
  absl::Status run_step(size_t rank, size_t slot);
  absl::Status collect(size_t rank, size_t slot);
  void abort(const absl::Status& reason);
  // `f` on every rank's thread, after the steps in flight. It may run on after a failure, so it holds no reference to
  // the caller's variables.
  uint64_t post_to_all(std::function<absl::Status(size_t rank)> f) const;
  size_t sum(absl::FunctionRef<size_t(const Transformer&)> of) const;

  const ModelConfig config_;
  const int n_stages_;
  const int tensor_size_;                            // ranks of a stage
  const bool on_host_;                               // the backends compute on the ranks' threads
  const std::shared_ptr<parallel::NodeMesh> nodes_;  // null: the ranks are in this process
  const parallel::PlannedFault fault_;
  int64_t n_fault_steps_ = 0;  // of the rank with the fault
  bool has_state_ = false;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<Transformer>> ranks_;
  std::unique_ptr<ExpertBalancer> balancer_;  // null: experts stay on their ranks
  std::vector<InFlightStep> steps_;           // step i is at i % steps_.size()
  uint64_t n_started_ = 0, n_finished_ = 0;
  std::shared_ptr<const RankThreads::Job> step_job_, collect_job_;
  std::unique_ptr<RankThreads> threads_;  // last: they use all above
};

}  // namespace polymath::model
