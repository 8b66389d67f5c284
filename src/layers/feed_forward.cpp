#include "layers/feed_forward.h"

namespace polymath::layers {

absl::StatusOr<FeedForward> FeedForward::make(const std::vector<FfnConfig>& blocks, const LayerBuilder& builder) {
  FeedForward out;
  for (const FfnConfig& config : blocks) {
    ASSIGN_OR_RETURN(auto block, MoeLayer::make(config, builder));
    if (!out.blocks_.empty()) block->join_to(*out.blocks_.back());
    out.blocks_.push_back(std::move(block));
  }
  return out;
}

// As in Linear::add_to: the first rank's part includes the residual. The group's sum is the new residual.
void FeedForward::run(const StepContext& ctx, const backend::Tensor& x, const backend::Tensor& tokens,
                      const MoeScratch& scratch, const backend::Tensor& h) const {
  const parallel::Rank rank = ctx.group.rank();
  if (!rank.first()) ctx.backend.zero(h);
  for (const auto& block : blocks_) {
    if (!block->joined) block->run(ctx.backend, x, tokens, scratch, h);
  }
  if (rank.size > 1) ctx.group.all_reduce_sum(h);
}

}  // namespace polymath::layers
