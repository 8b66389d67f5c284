#pragma once

// Route, group, run the experts, combine: one gated feed-forward block of a layer.
//
//   moe.run({ctx, dispatch, scratch}, x, tokens, h);    // h += scale * block(x)
//
// A dense block is one expert that every token visits with weight 1. A gated shared expert's weight is the sigmoid of
// its gate. Under tensor parallelism each rank has a slice of every expert (layers/feed_forward.h).

#include <memory>
#include <vector>

#include "backend/buffer_sizes.h"
#include "layers/builder.h"
#include "layers/expert_dispatch.h"
#include "layers/ffn_config.h"
#include "layers/step_cost.h"
#include "parallel/expert_placement.h"

namespace polymath::layers {

// One step's routing tensors, made once for the largest step and block.
class MoeScratch {
 public:
  // For steps of `tokens_max` tokens, `pairs_max` (token, expert) pairs and `logits_max` router logits a token.
  static absl::StatusOr<MoeScratch> create(backend::Backend& backend, int64_t tokens_max, int64_t pairs_max,
                                           int64_t logits_max);
  // Bytes that create() allocates.
  static size_t bytes(int64_t tokens_max, int64_t pairs_max, int64_t logits_max);

  tensor::Tensor logits(int64_t tokens, int64_t experts) const {
    return {tensor::DType::kF32, {tokens, experts}, logits_.data()};
  }
  backend::Routing routing(int64_t tokens, int64_t top_k) const;
  // Every token to expert 0 with weight 1.
  backend::Routing to_one_expert(int64_t tokens) const;
  backend::Routing of_gate(int64_t tokens) const;
  backend::ExpertGroups one_group(int64_t tokens) const;
  backend::ExpertGroups groups(int64_t pairs, int64_t experts, const tensor::Tensor& load) const;

 private:
  static std::vector<backend::BufferSize<MoeScratch>> sizes(int64_t tokens_max, int64_t pairs_max, int64_t logits_max);

  tensor::Buffer logits_, ids_, weights_, zeros_, ones_, offsets_, pairs_, gate_ids_, gate_weights_;
  tensor::Buffer order_, ends_;  // of one group: 0, 1, 2, ...; the pairs (0, n) for every n
};

// How a layer routes: by token or by step.
enum class Routed {
  kOneExpert,     // every token to expert 0 with weight 1
  kGated,         // every token to expert 0 with the weight that the block before finds (MoeLayer::shared)
  kTokenWise,     // MoeLayer::route
  kExpertChoice,  // routing::expert_choice over the step's tokens; ids are [n, n_experts], -1 where not chosen
  kSoft,          // routing::soft_moe over the step's tokens
};

// What a block's router did since the start, as far as the host sees it.
struct RoutingTotals {
  bool on_host = false;   // the weights are in host memory; else the next two stay 0
  double top_shares = 0;  // sum over n_tokens: the largest weight over the sum of all
  int64_t n_tokens = 0;
  int64_t n_dropped = 0;  // choices over an expert's capacity
};

// kExpertChoice, kSoft and a capacity define a token's output by the whole step's tokens. They run on the host: right
// on every backend, and slow.
struct MoeLayer {
  // kUnimplemented: an unknown routing. kInvalidArgument: a config that the routing cannot run.
  static absl::StatusOr<std::unique_ptr<MoeLayer>> make(const FfnConfig& ffn, const LayerBuilder& builder);

  Routed routed = Routed::kOneExpert;
  float capacity_factor = 0;  // > 0: bounds an expert's tokens of a step (kTokenWise), or sets them (kExpertChoice)
  int slots = 0;              // of an expert (kSoft)
  tensor::Buffer slot_inputs, slot_outputs;  // [n_experts * slots, hidden] f32 (kSoft)
  routing::RouterConfig config;
  routing::RouteFn route = nullptr;    // null: every token to expert 0 with weight 1
  quant::Weight router;                // [n_experts, hidden]; empty for routing without logits (hash)
  const float* router_bias = nullptr;  // [n_experts], added to the logits
  const float* selection_bias = nullptr;
  quant::Weight gate_up, down;
  backend::ExpertMlp mlp;           // points at the two above
  tensor::Tensor load;              // as backend::ExpertGroups::load
  RoutingTotals* totals = nullptr;  // null: not counted
  parallel::Slice mine;             // of the experts, those of this rank; with `placement`, of the slots
  // Of experts that move: the expert in each slot of all ranks. Empty: they stay.
  parallel::Placement placement;
  // A block of one expert, fused into this one (kOneExpert or kGated). Its gate joins this router. Null: none.
  const MoeLayer* shared = nullptr;
  bool joined = false;  // it is another block's `shared`, and does not run by itself

  // What a block runs with.
  struct Step {
    const StepContext& ctx;
    const ExpertDispatch& dispatch;
    const MoeScratch& scratch;
  };
  // x [n, hidden] act; tokens [n] i32 ids; out [n, hidden] f32.
  void run(const Step& step, const tensor::Tensor& x, const tensor::Tensor& tokens, const tensor::Tensor& out) const;

  // From the next step on, tokens go to experts by `placement`. This rank's weights are those of its slots.
  // REQUIRES: FfnConfig::copies_max > 0 of the block's config; no expert has more copies.
  void place(backend::Backend& backend, const parallel::Placement& placement, parallel::Rank rank);
  // Bytes that make() allocates for it.
  static size_t placement_bytes(const FfnConfig& ffn);

  // A block that every token visits joins the routed one before it. One op then runs both, and one routes both.
  void join_to(MoeLayer& before);
  // `rows`: tokens. `pairs`: (token, expert) pairs. `touched`: experts with a token.
  void add_cost(double rows, double pairs, double touched, StepCost& cost) const;

  // Memory for soft routing's slots. REQUIRES: once, before the first run; `ffn` is the block's own.
  absl::Status reserve(backend::Backend& backend, const FfnConfig& ffn, int64_t hidden);
  // Bytes that reserve() allocates.
  static size_t slot_bytes(const FfnConfig& ffn, int64_t hidden) { return backend::bytes_of(slot_sizes(ffn, hidden)); }
  // Whether every token is routed by itself, on the device.
  bool by_token() const {
    return routed == Routed::kOneExpert || routed == Routed::kGated ||
           (routed == Routed::kTokenWise && capacity_factor <= 0);
  }

 private:
  static std::vector<backend::BufferSize<MoeLayer>> slot_sizes(const FfnConfig& ffn, int64_t hidden);
  backend::RouteExperts router_params() const;
  bool has_all_experts() const { return placement.empty() && mine.count == config.n_experts; }
  tensor::Tensor copies() const;
  void route_whole_step(backend::Backend& backend, const tensor::Tensor& x, const tensor::Tensor& tokens,
                        const tensor::Tensor& logits, const backend::RoutedTokens& out) const;
  void run_soft(backend::Backend& backend, const tensor::Tensor& x, const MoeScratch& scratch,
                const tensor::Tensor& out) const;

  tensor::Buffer copies_;  // as RankExperts::copies
  int copies_max_ = 0;     // columns of it, but the first
  double share_ = 1;       // of even routing's pairs that go to this rank
};

}  // namespace polymath::layers
