#pragma once

// A layer's feed-forward blocks, in order, summed over the tensor group.
//
//   ffn.run(ctx, x, tokens, scratch, h);    // h += sum of the blocks of x

#include <memory>
#include <span>
#include <vector>

#include "layers/moe_layer.h"

namespace polymath::layers {

class FeedForward {
 public:
  static absl::StatusOr<FeedForward> make(const std::vector<FfnConfig>& blocks, const LayerBuilder& builder);

  // x [n, hidden] act; tokens [n] i32 ids; h [n, hidden] f32.
  void run(const StepContext& ctx, const backend::Tensor& x, const backend::Tensor& tokens, const MoeScratch& scratch,
           const backend::Tensor& h) const;
  std::span<const std::unique_ptr<MoeLayer>> blocks() const { return blocks_; }

 private:
  std::unique_ptr<ExpertDispatch> dispatch_;
  std::vector<std::unique_ptr<MoeLayer>> blocks_;
};

}  // namespace polymath::layers
