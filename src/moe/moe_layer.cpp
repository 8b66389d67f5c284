#include "moe/moe_layer.h"

#include <algorithm>
#include <vector>

namespace polymath::moe {

using tensor::DType;
using tensor::Tensor;

absl::StatusOr<MoeScratch> MoeScratch::create(backend::Backend& backend, int64_t tokens_max, int64_t top_k_max,
                                              int64_t experts_max) {
  MoeScratch s;
  const size_t pairs = static_cast<size_t>(tokens_max * top_k_max), tokens = static_cast<size_t>(tokens_max);
  ASSIGN_OR_RETURN(s.logits_, backend.allocate(tokens * static_cast<size_t>(experts_max) * sizeof(float)));
  ASSIGN_OR_RETURN(s.ids_, backend.allocate(pairs * sizeof(int32_t)));
  ASSIGN_OR_RETURN(s.weights_, backend.allocate(pairs * sizeof(float)));
  ASSIGN_OR_RETURN(s.pairs_, backend.allocate(pairs * sizeof(int32_t)));
  ASSIGN_OR_RETURN(s.zeros_, backend.allocate(tokens * sizeof(int32_t)));
  ASSIGN_OR_RETURN(s.ones_, backend.allocate(tokens * sizeof(float)));
  ASSIGN_OR_RETURN(s.offsets_, backend.allocate(static_cast<size_t>(experts_max + 1) * sizeof(int32_t)));
  const std::vector<float> ones(tokens, 1.0f);
  backend.copy_in({DType::kF32, {tokens_max}, s.ones_.data()}, ones.data());
  return s;
}

backend::Routing MoeScratch::routing(int64_t tokens, int64_t top_k) const {
  return {{DType::kI32, {tokens, top_k}, ids_.data()}, {DType::kF32, {tokens, top_k}, weights_.data()}};
}

backend::Routing MoeScratch::to_one_expert(int64_t tokens) const {
  return {{DType::kI32, {tokens, 1}, zeros_.data()}, {DType::kF32, {tokens, 1}, ones_.data()}};
}

backend::ExpertGroups MoeScratch::groups(int64_t pairs, int64_t experts, const Tensor& load) const {
  return {{DType::kI32, {experts + 1}, offsets_.data()}, {DType::kI32, {pairs}, pairs_.data()}, load};
}

void MoeLayer::run(backend::Backend& backend, const Tensor& x, const Tensor& tokens, const MoeScratch& scratch,
                   const Tensor& out) const {
  const int64_t n = x.rows();
  const backend::Routing routing = route == nullptr ? scratch.to_one_expert(n) : scratch.routing(n, config.top_k);
  if (route != nullptr) {
    const Tensor logits = scratch.logits(n, config.n_experts);
    if (!router.empty()) backend.linear(x, router, {.bias = router_bias}, logits);
    backend.route(config, route, logits, selection_bias, tokens, routing);
  }
  const auto groups = scratch.groups(routing.ids.shape.elements(), config.n_experts, load);
  backend.group_by_expert(routing, config.n_experts, groups);
  backend.expert_mlp(mlp, x, routing, groups, out);
}

}  // namespace polymath::moe
