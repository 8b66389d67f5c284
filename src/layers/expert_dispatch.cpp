#include "layers/expert_dispatch.h"

namespace polymath::layers {
namespace {

class LocalExperts : public ExpertDispatch {
 public:
  void begin(const StepContext&, const backend::Tensor&) const override {}
  void to_experts(const StepContext&, const RankExperts&, const backend::RoutedTokens&) const override {}
  void from_experts(const StepContext&, const backend::Tensor&) const override {}
};

class ReplicatedTokens : public ExpertDispatch {
 public:
  // As in Linear::add_to: the first rank's part includes the residual.
  void begin(const StepContext& ctx, const backend::Tensor& h) const override {
    if (!ctx.group.rank().first()) ctx.backend.zero(h);
  }

  void to_experts(const StepContext& ctx, const RankExperts& experts,
                  const backend::RoutedTokens& routed) const override {
    const backend::Tensor& ids = routed.routing.ids;
    if (!experts.copies.empty()) return ctx.backend.spread_over_copies(routed.groups, experts.copies, ids);
    ctx.backend.keep_local(ids, static_cast<int>(experts.mine.begin), static_cast<int>(experts.mine.count));
  }

  void from_experts(const StepContext& ctx, const backend::Tensor& h) const override { ctx.group.all_reduce_sum(h); }
};

}  // namespace

std::unique_ptr<ExpertDispatch> replicated_tokens(parallel::Rank rank) {
  if (rank.size == 1) return std::make_unique<LocalExperts>();
  return std::make_unique<ReplicatedTokens>();
}

}  // namespace polymath::layers
