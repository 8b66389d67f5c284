#include "layers/adapters.h"

#include <vector>

namespace polymath::layers {

using backend::DType;
using backend::Tensor;

std::vector<backend::BufferSize<AdapterStep>> AdapterStep::sizes(const AdapterLimits& limits, int64_t tokens_max) {
  const auto tokens = static_cast<size_t>(tokens_max);
  using S = AdapterStep;
  return {{&S::ones_, tokens * sizeof(float)},
          {&S::offsets_, static_cast<size_t>(limits.n_adapters + 1) * sizeof(int32_t)},
          {&S::pairs_, tokens * sizeof(int32_t)},
          {&S::low_, tokens * static_cast<size_t>(limits.rank_max) * sizeof(float)},
          {&S::high_, tokens * static_cast<size_t>(limits.rows_max) * sizeof(float)}};
}

size_t AdapterStep::bytes(const AdapterLimits& limits, int64_t tokens_max) {
  return backend::bytes_of(sizes(limits, tokens_max));
}

absl::StatusOr<AdapterStep> AdapterStep::create(backend::Backend& backend, const AdapterLimits& limits,
                                                int64_t tokens_max) {
  AdapterStep s;
  s.limits_ = limits;
  RETURN_IF_ERROR(backend::allocate_all(backend, sizes(limits, tokens_max), s));
  const std::vector<float> ones(static_cast<size_t>(tokens_max), 1.0f);
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
