#include "layers/feed_forward.h"

namespace polymath::layers {

absl::StatusOr<FeedForward> FeedForward::make(const std::vector<FfnConfig>& blocks, const LayerBuilder& builder) {
  FeedForward out;
  out.dispatch_ = replicated_tokens(builder.rank);
  for (const FfnConfig& config : blocks) {
    ASSIGN_OR_RETURN(auto block, MoeLayer::make(config, builder));
    if (!out.blocks_.empty()) block->join_to(*out.blocks_.back());
    out.blocks_.push_back(std::move(block));
  }
  return out;
}

void FeedForward::run(const StepContext& ctx, const backend::Tensor& x, const backend::Tensor& tokens,
                      const MoeScratch& scratch, const backend::Tensor& h) const {
  dispatch_->begin(ctx, h);
  for (const auto& block : blocks_) {
    if (!block->joined) block->run({ctx, *dispatch_, scratch}, x, tokens, h);
  }
  dispatch_->from_experts(ctx, h);
}

}  // namespace polymath::layers
