#include "backend/cuda/experts.h"

#include <optional>

#include "backend/cuda/fill.h"

namespace polymath::backend::cuda {
namespace {

constexpr int64_t kSharedParts = 4;  // of a shared network's inputs that there is memory for: no more are made

bool has_biases(const ExpertMlp& mlp) { return mlp.gate_up_bias != nullptr || mlp.down_bias != nullptr; }
DType dtype_of(const ExpertMlp& mlp) { return mlp.gate_up->format->dtype; }

// Parts of the second product's inputs, for tiles that end soon enough after each other.
int64_t parts_of(const ExpertMlp& mlp) {
  constexpr int64_t kInputsMost = 4096;
  return (mlp.down->shape.cols + kInputsMost - 1) / kInputsMost;
}

Combine combine_of(const ExpertVisit& visit, const ExpertProduct& second, const Tensor& out) {
  return {.y = second.y,
          .parts = second.parts,
          .ids = visit.routing.ids.i32(),
          .weights = visit.mlp->weight_on_input ? nullptr : visit.routing.weights.f32(),
          .top_k = visit.routing.ids.cols(),
          .scale = visit.mlp->scale,
          .out = matrix_of(out)};
}

}  // namespace

absl::Status ExpertRunner::reserve(const StepLimits& limits) {
  const int64_t tokens = limits.tokens_max, pairs = std::max<int64_t>(limits.pairs_max, tokens);
  const int64_t io = limits.expert_io_max > 0 ? limits.expert_io_max : limits.hidden_max;
  const int64_t joined = std::min(tokens, kFewSharedTokensMax);
  pairs_max_ = pairs;
  const std::pair<tensor::Buffer*, int64_t> sizes[] = {
      {&intermediate_,
       (pairs * weight_stride(limits.intermediate_max, Type::kBf16) + weight_stride(dense_inner_max_, Type::kBf16)) *
           2},
      {&outputs_, pairs * io * 4},
      {&sorted_, pairs * weight_stride(io, Type::kBf16) * 2},
      {&gate_up_, tokens * 2 * dense_inner_max_ * 4},
      {&shared_intermediate_, joined * weight_stride(dense_inner_max_, Type::kBf16) * 2},
      {&shared_outputs_, joined * kSharedParts * io * 4},
      {&counters_, (kFewCounters + 1) * static_cast<int64_t>(sizeof(unsigned))},
  };
  for (const auto& [buffer, bytes] : sizes) {
    ASSIGN_OR_RETURN(*buffer, device_.allocate(static_cast<size_t>(bytes)));
  }
  return absl::OkStatus();
}

void ExpertRunner::check(const ExpertVisit& visit, const Tensor& x, const Tensor& out) const {
  const ExpertMlp& mlp = *visit.mlp;
  CHECK(x.cols() == mlp.gate_up->shape.cols && out.cols() == mlp.down->shape.rows);
  CHECK(mlp.gate_up->shape.rows == 2 * mlp.down->shape.cols && x.rows() == visit.routing.ids.rows());
  CHECK(visit.routing.ids.shape.elements() <= pairs_max_ && (!mlp.weight_on_input || mlp.gate_up_bias == nullptr));
}

void ExpertRunner::run(const ExpertVisit& visit, const Tensor& x, const Tensor& out) {
  check(visit, x, out);
  if (x.rows() == 0 || run_dense(visit, x, out) || run_single(visit, nullptr, x, out)) return;
  if (!run_few(visit, nullptr, x, out)) run_many(visit, x, out);
}

bool ExpertRunner::run_joined(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x, const Tensor& out) {
  check(group, x, out);
  check(shared, x, out);
  const ExpertMlp& mlp = *shared.mlp;
  const bool joins = mlp.gate_up->shape.groups == 1 && !has_biases(mlp) && !mlp.weight_on_input && x.rows() >= 1 &&
                     x.rows() <= kFewSharedTokensMax && dtype_of(mlp) == dtype_of(*group.mlp) &&
                     takes(mlp.gate_up->shape, dtype_of(mlp));
  return joins && (run_single(group, &shared, x, out) || run_few(group, &shared, x, out));
}

bool ExpertRunner::run_dense(const ExpertVisit& visit, const Tensor& x, const Tensor& out) {
  const ExpertMlp& mlp = *visit.mlp;
  if (mlp.gate_up->shape.groups != 1 || has_biases(mlp) || mlp.weight_on_input) return false;
  const Type type = type_of(dtype_of(mlp));
  const int64_t n = x.rows(), intermediate = mlp.down->shape.cols, stride = weight_stride(intermediate, type);
  const float* weights = visit.routing.weights.f32();
  const Matrix inputs = linear_.aligned(matrix_of(x), type),
               intermediates{intermediate_.data(), n, stride, stride, type};
  const WeightMatrix gate_up = weight_matrix(*mlp.gate_up);
  if (!linear_.run_few(
          {.x = inputs, .y = intermediates, .w = gate_up, .gated = true, .glu = mlp.glu, .factors = weights})) {
    // A sum may be more than a half holds.
    const Matrix both{gate_up_.data(), n, 2 * intermediate, 2 * intermediate, type == Type::kF16 ? Type::kF32 : type};
    CHECK(static_cast<size_t>(n * 2 * intermediate * type_bytes(both.type)) <= gate_up_.bytes());
    linear_.run({.x = inputs, .y = both, .w = gate_up});
    glu(mlp.glu, both, weights, intermediates, device_.stream());
  }
  linear_.run({.x = intermediates,
               .y = matrix_of(out),
               .w = weight_matrix(*mlp.down),
               .epilogue = {.accumulate = true, .scale = mlp.scale}});
  device_.launched("dense network");
  return true;
}

bool ExpertRunner::run_single(const ExpertVisit& visit, const ExpertVisit* shared, const Tensor& x, const Tensor& out) {
  const ExpertMlp& mlp = *visit.mlp;
  const int64_t top_k = visit.routing.ids.cols();
  if (dtype_of(mlp) != DType::kBf16 || x.rows() != 1 || top_k > kOneTokenChoicesMax) return false;
  if (has_biases(mlp) || mlp.weight_on_input) return false;
  OneToken token{.x = linear_.aligned(matrix_of(x), Type::kBf16),
                 .y = matrix_of(out),
                 .gate_up = weight_matrix(*mlp.gate_up),
                 .down = weight_matrix(*mlp.down),
                 .experts = visit.routing.ids.i32(),
                 .factors = visit.routing.weights.f32(),
                 .n_choices = static_cast<int>(top_k),
                 .glu = mlp.glu,
                 .scale = mlp.scale,
                 .intermediate = intermediate_.data(),
                 .counter = static_cast<unsigned*>(counters_.data()) + kFewCounters};
  int64_t intermediate = top_k * token.down.cols;
  if (shared != nullptr) {
    const ExpertMlp& other = *shared->mlp;
    if (other.scale != mlp.scale || other.glu.kind != mlp.glu.kind || other.glu.limit != mlp.glu.limit ||
        other.glu.alpha != mlp.glu.alpha) {
      return false;
    }
    token.shared_gate_up = weight_matrix(*other.gate_up), token.shared_down = weight_matrix(*other.down);
    token.shared_factors = shared->routing.weights.f32();
    intermediate += token.shared_down.cols;
  }
  CHECK(static_cast<size_t>(intermediate * 2) <= intermediate_.bytes());
  if (!experts_one(token, device_.n_multiprocessors(), device_.stream())) return false;
  device_.launched("a token's experts");
  return true;
}

ExpertRunner::Products ExpertRunner::products_of(const ExpertVisit& visit, const Matrix& x,
                                                 const tensor::Buffer& intermediate, const tensor::Buffer& outputs,
                                                 int64_t parts) const {
  const ExpertMlp& mlp = *visit.mlp;
  const Type type = type_of(dtype_of(mlp));
  const int64_t pairs = visit.routing.ids.shape.elements(), hidden = mlp.down->shape.rows;
  const int64_t stride = weight_stride(mlp.down->shape.cols, type);
  const Matrix intermediates{intermediate.data(), pairs, stride, stride, type};
  parts = std::min(parts, static_cast<int64_t>(outputs.bytes()) / (pairs * hidden * 4));
  CHECK(static_cast<size_t>(pairs * stride * 2) <= intermediate.bytes() && parts >= 1);
  const Matrix y{outputs.data(), pairs * parts, hidden, hidden, Type::kF32};
  const Groups groups = groups_of(visit.groups, pairs);
  return {.first = {.x = x,
                    .w = weight_matrix(*mlp.gate_up),
                    .bias = mlp.gate_up_bias,
                    .groups = groups,
                    .top_k = visit.routing.ids.cols(),
                    .first = true,
                    .glu = mlp.glu,
                    .input_weights = mlp.weight_on_input ? visit.routing.weights.f32() : nullptr,
                    .y = intermediates},
          .second = {.x = intermediates,
                     .w = weight_matrix(*mlp.down),
                     .bias = mlp.down_bias,
                     .groups = groups,
                     .top_k = visit.routing.ids.cols(),
                     .first = false,
                     .y = y,
                     .parts = static_cast<int>(parts)}};
}

// A first product's inputs become every pair's, by expert.
void ExpertRunner::sort_inputs(ExpertProduct& first) {
  const Matrix to{sorted_.data(), first.groups.n_pairs, first.x.cols, first.x.cols, first.x.type};
  CHECK(static_cast<size_t>(to.rows * to.cols * 2) <= sorted_.bytes());
  gather_pairs(first.x, first.groups, first.top_k, to, device_.stream());
  first.x = to;
}

bool ExpertRunner::run_few(const ExpertVisit& visit, const ExpertVisit* shared, const Tensor& x, const Tensor& out) {
  const int64_t n = x.rows(), pairs = visit.routing.ids.shape.elements();
  if (pairs >= kFewTokens * visit.mlp->gate_up->shape.groups) return false;
  const Matrix inputs = linear_.aligned(matrix_of(x), type_of(dtype_of(*visit.mlp)));
  Products group = products_of(visit, inputs, intermediate_, outputs_, parts_of(*visit.mlp));
  std::optional<Products> beside;
  if (shared != nullptr) {
    beside = products_of(*shared, inputs, shared_intermediate_, shared_outputs_, parts_of(*shared->mlp));
  }
  const auto fits = [](const Products& p) { return experts_tensor_takes(p.first) && experts_tensor_takes(p.second); };
  if (!fits(group) || (beside && !fits(*beside))) return false;
  group.first.sorted = n > kUnsortedTokensMax;
  if (group.first.sorted) sort_inputs(group.first);
  auto* const counters = static_cast<unsigned*>(counters_.data());
  CHECK(experts_few({.first = group.first,
                     .second = group.second,
                     .shared_first = beside ? &beside->first : nullptr,
                     .shared_second = beside ? &beside->second : nullptr,
                     .counters = counters},
                    device_.n_multiprocessors(), device_.stream()));
  device_.launched("expert_mlp");
  Combine sums = combine_of(visit, group.second, out);
  sums.counters = counters, sums.n_counters = kFewCounters;
  if (beside) {
    sums.shared = beside->second.y;
    sums.shared_parts = beside->second.parts;
    sums.shared_weights = shared->routing.weights.f32();
    sums.shared_scale = shared->mlp->scale;
  }
  combine(sums, device_.stream());
  device_.launched("expert_mlp, sums");
  return true;
}

void ExpertRunner::run_many(const ExpertVisit& visit, const Tensor& x, const Tensor& out) {
  const Matrix inputs = linear_.aligned(matrix_of(x), type_of(dtype_of(*visit.mlp)));
  Products group = products_of(visit, inputs, intermediate_, outputs_, 1);
  if (experts_tensor_takes(group.first)) sort_inputs(group.first);
  for (const ExpertProduct* product : {&group.first, &group.second}) {
    if (experts_tensor_takes(*product)) {
      CHECK(experts_many(*product, device_.n_multiprocessors(), device_.stream()));
      continue;
    }
    CHECK(product->w.type == Type::kBf16);  // takes() said so
    if (x.rows() <= kNarrowTokensMax) {
      experts_narrow(*product, x.rows(), device_.stream());
    } else {
      experts_wide(*product, device_.stream());
    }
  }
  device_.launched("expert_mlp");
  combine(combine_of(visit, group.second, out), device_.stream());
  device_.launched("expert_mlp, sums");
}

}  // namespace polymath::backend::cuda
