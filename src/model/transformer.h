#pragma once

// The one forward pass: what every architecture's tables come to.

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "model/load.h"
#include "model/step_inputs.h"
#include "model/weight_store.h"
#include "moe/moe_layer.h"

namespace polymath::model {

// One layer's weights, and how its operations are to be called.
struct Layer {
  const float *attn_norm = nullptr, *attn_norm_bias = nullptr, *ffn_norm = nullptr, *ffn_norm_bias = nullptr;
  quant::Weight qkv, attn_out;  // MLA: of x, [q or q_a | kv_a]
  const float *qkv_bias = nullptr, *attn_out_bias = nullptr, *q_norm = nullptr, *k_norm = nullptr, *sinks = nullptr;
  quant::Weight q_b, key_up, value_up;  // MLA
  const float *q_a_norm = nullptr, *kv_a_norm = nullptr;
  const float* cos_sin = nullptr;  // null: no rotation
  std::vector<std::unique_ptr<moe::MoeLayer>> ffns;
};

// Tensors of one step, for the largest step.
struct Activations {
  tensor::Buffer h, gathered, x, qkv, q, q_full, attention, latent_out, logits, gathered_tokens, sampled;
};

class TransformerModel : public Transformer {
 public:
  TransformerModel(const ModelConfig& config, backend::Backend& backend, const LoadOptions& options, WeightStore store);
  absl::Status build();

  absl::Status start(const Batch& batch) override;
  absl::StatusOr<StepResult> finish() override;
  bool make_fault() override { return backend_.make_fault(); }
  bool samples_on_device() const override { return backend_.samples_on_device(); }
  int steps_in_flight_max() const override { return backend_.samples_on_device() ? kResultSlots : 1; }
  int vocab() const override { return config_.vocab; }
  std::vector<ExpertLoad> expert_load() const override;
  std::vector<backend::KvShape> kv_shapes(int block_size, tensor::DType dtype) const override;
  absl::Status reserve(const backend::StepLimits& limits) override;
  absl::Status attach(const kvcache::KvCache& cache) override;
  const ModelConfig& config() const override { return config_; }
  size_t weight_bytes() const override { return store_.bytes(); }
  size_t graph_bytes() const override { return graph_bytes_; }
  StepCost last_step_cost() override;

 private:
  struct Step;  // one step's views, transformer.cpp
  absl::Status build_layer(int index);
  absl::Status build_ffn(const std::string& prefix, const FfnConfig& ffn, Layer& layer);
  static void join_shared(Layer& layer);
  absl::Status allocate_load();
  void read_load() const;
  int64_t load_begin(const moe::MoeLayer& ffn) const;  // of its experts in load_host_ and seen_load_
  absl::StatusOr<const float*> rope_of(const RopeConfig& rope);
  backend::NormParams norm_params(const float* weight, const float* bias) const;
  void check(const Batch& batch) const;
  void note_cost(const Batch& batch);
  // Everything that the device does in a step; what it gives stands in act_buffers_.
  void run(const StepViews& views);
  void post_results(const Batch& batch);
  absl::Status capture_steps();
  struct CapturedStep;
  const CapturedStep* captured_step(const Batch& batch) const;  // that takes this one; null: none does
  QueryTemperature query_temperature() const;
  void attend(int index, Step& step);
  void attend_latent(int index, Step& step);
  backend::QkvParams qkv_params(const Layer& layer, const AttentionConfig& a, const Step& step) const;
  void run_layer(int index, Step& step);
  void add_attention_cost(int index, StepCost& cost) const;
  void add_ffn_cost(const moe::MoeLayer& ffn, double rows, StepCost& cost);

  const ModelConfig config_;
  backend::Backend& backend_;
  const LoadOptions options_;
  WeightStore store_;
  tensor::DType act_;
  quant::Weight embed_, lm_head_;
  std::vector<Layer> layers_;
  std::vector<std::pair<RopeConfig, tensor::Buffer>> rope_tables_;
  // Pairs that each expert was given, of all routed blocks one after the other: on the device, and as last read.
  tensor::Buffer load_;
  mutable std::vector<int64_t> load_host_;
  const kvcache::KvCache* cache_ = nullptr;
  backend::StepLimits limits_;
  Activations act_buffers_;
  moe::MoeScratch moe_scratch_;
  StepInputs inputs_;
  // A step that was started and is not finished; its results are in its box.
  static constexpr int kResultSlots = 2;
  struct InFlightStep {
    tensor::Tensor logits, ids;
  };
  std::array<InFlightStep, kResultSlots> in_flight_;
  uint64_t n_started_ = 0, n_finished_ = 0;  // a step's box is its number modulo kResultSlots
  // Steps of one token a sequence, by their rows, and of the same rows those of short contexts first: their attention
  // needs no blocks for keys that are cut.
  struct CapturedStep {
    int rows, keys_most;  // keys_most 0: any
    std::unique_ptr<backend::CapturedGraph> graph;
  };
  std::vector<CapturedStep> captured_;
  size_t graph_bytes_ = 0;
  // For last_step_cost.
  int last_tokens_ = 0, last_logit_rows_ = 0;
  double last_context_ = 0;  // tokens with KV, over all sequences
  double last_pairs_ = 0;    // (query, key) pairs of causal attention
  std::vector<int64_t> seen_load_;
};

}  // namespace polymath::model
