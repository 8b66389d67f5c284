#pragma once

// The one forward pass: what every architecture's tables come to.

#include <memory>
#include <vector>

#include "layers/attention.h"
#include "layers/feed_forward.h"
#include "model/adapters.h"
#include "model/balance/movable_experts.h"
#include "model/expert_counters.h"
#include "model/graph_capture.h"
#include "model/loading/load.h"
#include "model/loading/weight_store.h"
#include "model/rope_tables.h"
#include "model/step_inputs.h"
#include "model/step_memory.h"
#include "model/step_results.h"

namespace polymath::model {

struct Layer {
  backend::NormParams attn_norm, ffn_norm;
  backend::NormParams attn_post_norm, ffn_post_norm;  // under ModelConfig::post_norms
  std::unique_ptr<layers::AttentionLayer> attention;
  layers::FeedForward ffn;
};

class TransformerModel : public Transformer {
 public:
  struct Weights {
    WeightStore store;
    AdapterSet adapters;
    size_t allocated_before = 0;  // Backend::allocated_bytes() before the first weight
  };
  // `config`: of this rank.
  TransformerModel(const ModelConfig& config, backend::Backend& backend, const LoadOptions& options, Weights weights);
  absl::Status build();

  absl::Status start(const Batch& batch) override;
  absl::StatusOr<StepResult> finish() override;
  bool make_fault() override { return backend_.make_fault(); }
  bool samples_on_device() const override { return backend_.samples_on_device(); }
  int steps_in_flight_max() const override { return samples_on_device() ? StepResults::kInFlightMax : 1; }
  int vocab() const override { return config_.vocab; }
  int n_adapters() const override { return adapters_.size(); }
  std::vector<ExpertLoad> expert_load() const override { return counters_.read(backend_); }
  size_t kv_block_bytes(const CacheOptions& options) const override;
  size_t state_bytes() const override;
  bool has_state() const override { return has_state_; }
  absl::Status reserve(const backend::StepLimits& limits) override;
  absl::Status make_cache(const CacheOptions& options) override;
  const ModelConfig& config() const override { return config_; }
  size_t weight_bytes() const override { return weight_bytes_; }
  size_t scratch_bytes() const override { return scratch_bytes_; }
  size_t kv_bytes() const override { return cache_ != nullptr ? cache_->bytes() : 0; }
  size_t graph_bytes() const override { return graphs_.bytes(); }
  MovableExperts* movable_experts() override { return options_.balance.has_value() ? &movable_ : nullptr; }
  layers::StepCost last_step_cost() override;

 private:
  struct Step;  // one step's views, transformer.cpp
  absl::Status build_layer(int index);
  absl::Status reserve_layer(size_t index);
  backend::NormParams norm_params(const std::string& slot) const;
  void copy_states(std::span<const kvcache::StateCopy> copies);
  void check(const Batch& batch) const;
  void note_extent(const Batch& batch);
  // Everything that the device does in a step between the messages of the stages; its results are in act_buffers_.
  void run(const StepViews& views);
  tensor::Tensor residual(int64_t rows) const;
  tensor::Tensor logits(int64_t rows) const;  // of the latest step
  void run_layer(int index, Step& step);
  // Where a layer's attention or feed-forward adds its output; then what end_branch() does with it.
  tensor::Tensor begin_branch(const Step& step);
  void end_branch(const backend::NormParams& norm, const tensor::Tensor& branch, const Step& step);
  void gather_logit_rows(Step& step);
  void run_head(const StepViews& views, Step& step);
  layers::QueryTemperature query_temperature() const;

  const ModelConfig config_;
  backend::Backend& backend_;
  const LoadOptions options_;
  const std::unique_ptr<parallel::Communicator> alone_;  // where options_.group is null
  parallel::Communicator& group_;
  const parallel::Stage stage_;  // config_ has its layers alone
  parallel::RankTrace own_trace_;
  parallel::RankTrace& trace_;
  WeightStore store_;
  AdapterSet adapters_;
  const size_t allocated_before_;
  size_t weight_bytes_ = 0, scratch_bytes_ = 0;
  RopeTables rope_tables_;
  tensor::DType act_;
  const bool has_state_;  // read in every step
  const bool on_host_;    // the backend computes on the calling thread
  quant::Weight embed_, lm_head_;
  backend::NormParams final_norm_;
  std::vector<Layer> layers_;
  mutable ExpertCounters counters_;
  MovableExperts movable_;
  std::unique_ptr<kvcache::KvCache> cache_;
  backend::StepLimits limits_;
  Activations act_buffers_;
  int result_sets_ = 1;  // of act_buffers_.logits
  uint64_t n_started_ = 0;
  layers::Scratch scratch_;
  layers::MoeScratch moe_scratch_;
  layers::AdapterStep adapter_step_;
  StepInputs inputs_;
  StepResults results_;
  GraphCapture graphs_;
  layers::StepExtent last_;  // of the last step
};

}  // namespace polymath::model
