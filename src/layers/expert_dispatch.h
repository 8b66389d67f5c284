#pragma once

// Carries tokens to their experts' ranks, and the outputs back to the tokens.
//
//   dispatch.begin(ctx, h);                  // h is what this rank's part of the sum starts from
//   dispatch.to_experts(ctx, experts, routed); // a routed block's choices, as indices of this rank's experts
//   ... the block adds its experts' outputs to h ...
//   dispatch.from_experts(ctx, h);           // h is the layer's output on every rank
//
// Source: GShard, arXiv:2006.16668 (experts of one layer on several devices).

#include <memory>

#include "layers/step_context.h"

namespace polymath::layers {

// A layer's experts on one rank.
struct RankExperts {
  parallel::Slice mine;    // they follow each other
  backend::Tensor copies;  // as Backend::spread_over_copies: `mine` are slots; empty: an expert is on one rank alone
};

class ExpertDispatch {
 public:
  virtual ~ExpertDispatch() = default;
  // h [n, hidden] f32: the residual, the same on every rank.
  virtual void begin(const StepContext& ctx, const backend::Tensor& h) const = 0;
  // routed: over all experts. Ids become indices into `mine`. -1: the token visits the expert on another rank.
  virtual void to_experts(const StepContext& ctx, const RankExperts& experts,
                          const backend::RoutedTokens& routed) const = 0;
  virtual void from_experts(const StepContext& ctx, const backend::Tensor& h) const = 0;
};

// For ranks that each have every token. Each rank computes its part, and the parts are summed. A rank alone moves
// nothing.
std::unique_ptr<ExpertDispatch> replicated_tokens(parallel::Rank rank);

}  // namespace polymath::layers
