#include "backend/cuda/experts.h"

#include "backend/cuda/fill.h"

namespace polymath::backend::cuda {

absl::Status ExpertRunner::reserve(const StepLimits& limits) {
  const int64_t tokens = limits.tokens_max, pairs = std::max<int64_t>(limits.pairs_max, tokens);
  const int64_t io = limits.expert_io_max > 0 ? limits.expert_io_max : limits.hidden_max;
  pairs_max_ = pairs;
  const std::pair<tensor::Buffer*, int64_t> sizes[] = {
      {&inner_, pairs * weight_stride(limits.inner_max, Type::kBf16) * 2},
      {&outputs_, pairs * io * 4},
      {&sorted_, pairs * weight_stride(io, Type::kBf16) * 2},
      {&gate_up_, tokens * 2 * dense_inner_max_ * 4},
  };
  for (const auto& [buffer, bytes] : sizes) {
    ASSIGN_OR_RETURN(*buffer, device_.allocate(static_cast<size_t>(bytes)));
  }
  return absl::OkStatus();
}

bool ExpertRunner::run_dense(const ExpertMlp& mlp, const Tensor& x, const float* weights, const Tensor& out) {
  if (mlp.gate_up->shape.groups != 1 || mlp.gate_up_bias != nullptr || mlp.down_bias != nullptr) return false;
  if (mlp.weight_on_input) return false;
  const Type type = type_of(mlp.gate_up->format->dtype);
  const int64_t n = x.rows(), inner = mlp.down->shape.cols, stride = weight_stride(inner, type);
  const Matrix inputs = linear_.aligned(matrix_of(x), type), inners{inner_.data(), n, stride, stride, type};
  const WeightMatrix gate_up = weight_matrix(*mlp.gate_up);
  if (!linear_.run_few({.x = inputs, .y = inners, .w = gate_up, .gated = true, .glu = mlp.glu, .factors = weights})) {
    // A sum may be more than a half holds.
    const Matrix both{gate_up_.data(), n, 2 * inner, 2 * inner, type == Type::kF16 ? Type::kF32 : type};
    CHECK(static_cast<size_t>(n * 2 * inner * type_bytes(both.type)) <= gate_up_.bytes());
    linear_.run({.x = inputs, .y = both, .w = gate_up});
    glu(mlp.glu, both, weights, inners, device_.stream());
  }
  linear_.run({.x = inners,
               .y = matrix_of(out),
               .w = weight_matrix(*mlp.down),
               .epilogue = {.accumulate = true, .scale = mlp.scale}});
  device_.launched("dense network");
  return true;
}

bool ExpertRunner::run_single(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const Tensor& out) {
  const int64_t top_k = routing.ids.cols(), inner = mlp.down->shape.cols, hidden = mlp.down->shape.rows;
  // Larger experts: the copy engine's stream of weights is worth the two launches more.
  constexpr int64_t kNumbersMax = int64_t{32} << 20;
  if (mlp.gate_up->format->dtype != DType::kBf16 || x.rows() != 1) return false;
  if (top_k > kLinearNarrowChoicesMax || top_k * inner * hidden > kNumbersMax) return false;
  if (mlp.gate_up_bias != nullptr || mlp.down_bias != nullptr || mlp.weight_on_input) return false;
  const int64_t stride = weight_stride(inner, Type::kBf16);
  NarrowProduct product{.x = linear_.aligned(matrix_of(x), Type::kBf16),
                        .y = {inner_.data(), top_k, stride, stride, Type::kBf16},
                        .w = weight_matrix(*mlp.gate_up),
                        .gated = true,
                        .glu = mlp.glu,
                        .factors = routing.weights.f32(),
                        .experts = routing.ids.i32(),
                        .n_choices = static_cast<int>(top_k)};
  linear_narrow(product, device_.n_multiprocessors(), device_.stream());
  product.x = product.y, product.y = matrix_of(out), product.w = weight_matrix(*mlp.down);
  product.gated = false, product.epilogue = {.accumulate = true, .scale = mlp.scale};
  linear_narrow(product, device_.n_multiprocessors(), device_.stream());
  device_.launched("a token's experts");
  return true;
}

void ExpertRunner::run(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                       const Tensor& out) {
  const int64_t pairs = routing.ids.shape.elements(), hidden = mlp.down->shape.rows, inner = mlp.down->shape.cols;
  CHECK(x.cols() == mlp.gate_up->shape.cols && out.cols() == hidden && mlp.gate_up->shape.rows == 2 * inner);
  CHECK(pairs <= pairs_max_ && x.rows() == routing.ids.rows() && (!mlp.weight_on_input || mlp.gate_up_bias == nullptr));
  if (run_dense(mlp, x, routing.weights.f32(), out) || run_single(mlp, x, routing, out)) return;
  const Type type = type_of(mlp.gate_up->format->dtype);
  const int64_t stride = weight_stride(inner, type);
  const Matrix inners{inner_.data(), pairs, stride, stride, type};
  const Matrix outputs{outputs_.data(), pairs, hidden, hidden, Type::kF32};
  CHECK(static_cast<size_t>(pairs * stride * 2) <= inner_.bytes() &&
        static_cast<size_t>(pairs * hidden * 4) <= outputs_.bytes());
  const Groups sorted = groups_of(groups, pairs);
  ExpertProduct first{.x = linear_.aligned(matrix_of(x), type),
                      .w = weight_matrix(*mlp.gate_up),
                      .bias = mlp.gate_up_bias,
                      .groups = sorted,
                      .top_k = routing.ids.cols(),
                      .first = true,
                      .glu = mlp.glu,
                      .input_weights = mlp.weight_on_input ? routing.weights.f32() : nullptr,
                      .y = inners};
  const ExpertProduct second{.x = inners,
                             .w = weight_matrix(*mlp.down),
                             .bias = mlp.down_bias,
                             .groups = sorted,
                             .top_k = routing.ids.cols(),
                             .first = false,
                             .y = outputs};
  run_sorted(x.rows(), first, second);
  device_.launched("expert_mlp");
  combine({.y = outputs,
           .ids = routing.ids.i32(),
           .weights = mlp.weight_on_input ? nullptr : routing.weights.f32(),
           .top_k = routing.ids.cols(),
           .scale = mlp.scale,
           .out = matrix_of(out)},
          device_.stream());
  device_.launched("expert_mlp, sums");
}

void ExpertRunner::run_sorted(int64_t n, ExpertProduct first, const ExpertProduct& second) {
  const cudaStream_t stream = device_.stream();
  const ExpertProduct by_token = first;
  first.one_token = n == 1;
  if (!first.one_token && experts_tensor_takes(first)) {
    first.x = {sorted_.data(), first.groups.n_pairs, first.x.cols, first.x.cols, first.x.type};
    CHECK(static_cast<size_t>(first.x.rows * first.x.cols * 2) <= sorted_.bytes());
    gather_pairs(by_token.x, first.groups, first.top_k, first.x, stream);
  }
  const auto run = [&](const ExpertProduct& sorted, const ExpertProduct& otherwise) {
    if (experts_tensor(sorted, device_.n_multiprocessors(), stream)) return;
    CHECK(sorted.w.type == Type::kBf16);  // takes() said so
    if (n <= kNarrowTokensMax) return experts_narrow(otherwise, n, stream);
    experts_wide(otherwise, stream);
  };
  run(first, by_token);
  run(second, second);
}

}  // namespace polymath::backend::cuda
