#include "layers/expert_dispatch.h"

#include <vector>

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
    std::vector<int32_t> ids(static_cast<size_t>(routing.ids.shape.elements()));
    ctx.backend.copy_out(ids.data(), routing.ids);
    for (int32_t& id : ids) {
      const int64_t local = id - mine.begin;
      id = local >= 0 && local < mine.count ? static_cast<int32_t>(local) : -1;
    }
    ctx.backend.copy_in(routing.ids, ids.data());
  }

  void from_experts(const StepContext& ctx, const backend::Tensor& h) const override { ctx.group.all_reduce_sum(h); }
};

}  // namespace

std::unique_ptr<ExpertDispatch> replicated_tokens(parallel::Rank rank) {
  if (rank.size == 1) return std::make_unique<LocalExperts>();
  return std::make_unique<ReplicatedTokens>();
}

}  // namespace polymath::layers
