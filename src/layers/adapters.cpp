#include "layers/adapters.h"

#include <vector>

namespace polymath::layers {

using backend::DType;
using backend::Tensor;

absl::StatusOr<AdapterStep> AdapterStep::create(backend::Backend& backend, const AdapterLimits& limits,
                                                int64_t tokens_max) {
  AdapterStep s;
  s.limits_ = limits;
  const auto tokens = static_cast<size_t>(tokens_max);
  ASSIGN_OR_RETURN(s.ones_, backend.allocate(tokens * sizeof(float)));
  ASSIGN_OR_RETURN(s.offsets_, backend.allocate(static_cast<size_t>(limits.n_adapters + 1) * sizeof(int32_t)));
  ASSIGN_OR_RETURN(s.pairs_, backend.allocate(tokens * sizeof(int32_t)));
  ASSIGN_OR_RETURN(s.low_, backend.allocate(tokens * static_cast<size_t>(limits.rank_max) * sizeof(float)));
  ASSIGN_OR_RETURN(s.high_, backend.allocate(tokens * static_cast<size_t>(limits.rows_max) * sizeof(float)));
  const std::vector<float> ones(tokens, 1.0f);
  backend.copy_in({DType::kF32, {tokens_max}, s.ones_.data()}, ones.data());
  return s;
}

void AdapterStep::group(backend::Backend& backend, const Tensor& ids) {
  const int64_t n = ids.shape[0];
  routing_ = {ids.reshape({n, 1}), {DType::kF32, {n, 1}, ones_.data()}};
  groups_ = {{DType::kI32, {limits_.n_adapters + 1}, offsets_.data()}, {DType::kI32, {n}, pairs_.data()}, {}};
  backend.group_by_expert(routing_, limits_.n_adapters, groups_);
}

void AdapterStep::add(backend::Backend& backend, const AdapterWeights& w, const Tensor& x, float scale,
                      const Tensor& y) const {
  CHECK(w.a.shape.rows <= limits_.rank_max && w.b.shape.rows <= limits_.rows_max);
  const int64_t n = x.rows();
  const Tensor low{DType::kF32, {n, w.a.shape.rows}, low_.data()};
  const Tensor high{DType::kF32, {n, w.b.shape.rows}, high_.data()};
  backend.grouped_linear({&w.a, nullptr, &groups_, 1, /*gather=*/true}, x, low);
  backend.grouped_linear({&w.b, nullptr, &groups_, 1, /*gather=*/false}, low, high);
  backend.combine(high, groups_, routing_, scale, y);
}

}  // namespace polymath::layers
