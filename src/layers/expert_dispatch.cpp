#include "layers/expert_dispatch.h"

namespace polymath::layers {
namespace {

class LocalExperts : public ExpertDispatch {
 public:
  void begin(const StepContext&, const backend::Tensor&) const override {}
  void to_experts(const StepContext&, parallel::Slice, const backend::Routing&) const override {}
  void from_experts(const StepContext&, const backend::Tensor&) const override {}
};

class ReplicatedTokens : public ExpertDispatch {
 public:
  // As in Linear::add_to: the first rank's part includes the residual.
  void begin(const StepContext& ctx, const backend::Tensor& h) const override {
    if (!ctx.group.rank().first()) ctx.backend.zero(h);
  }

  void to_experts(const StepContext& ctx, parallel::Slice mine, const backend::Routing& routing) const override {
    ctx.backend.keep_local(routing.ids, static_cast<int>(mine.begin), static_cast<int>(mine.count));
  }

  void from_experts(const StepContext& ctx, const backend::Tensor& h) const override { ctx.group.all_reduce_sum(h); }
};

}  // namespace

std::unique_ptr<ExpertDispatch> replicated_tokens(parallel::Rank rank) {
  if (rank.size == 1) return std::make_unique<LocalExperts>();
  return std::make_unique<ReplicatedTokens>();
}

}  // namespace polymath::layers
