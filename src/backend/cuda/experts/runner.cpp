#include "backend/cuda/experts/runner.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "backend/cuda/elementwise/elementwise.h"
#include "backend/cuda/experts/e4m3_gemm.h"
#include "backend/cuda/experts/list.h"
#include "backend/cuda/experts/packed_experts.h"
#include "backend/cuda/experts/rounded.h"

namespace polymath::backend::cuda {
namespace {

Type weight_type(const ExpertMlp& mlp) { return cuda::weight_type(*mlp.gate_up); }
bool has_packed(const ExpertVisit& visit) {
  return !visit.mlp->gate_up->format->plain() || !visit.mlp->down->format->plain();
}

Combine combine_of(const ExpertVisit& visit, const ExpertGemm& second, const Tensor& out) {
  return {.y = second.y,
          .parts = second.parts,
          .ids = visit.routing.ids.i32(),
          .weights = visit.mlp->weight_on_input ? nullptr : visit.routing.weights.f32(),
          .top_k = visit.routing.ids.cols(),
          .scale = visit.mlp->scale,
          .out = matrix_of(out)};
}

}  // namespace

void ExpertScratch::cover(std::span<const ExpertVariant> table, const ExpertShape& shape) {
  for (const ExpertVariant& variant : table) {
    if (variant.scratch == nullptr) continue;
    const ExpertScratch own = variant.scratch(shape);
    intermediate = std::max(intermediate, own.intermediate), outputs = std::max(outputs, own.outputs);
    gate_up = std::max(gate_up, own.gate_up), sorted = std::max(sorted, own.sorted);
    shared_intermediate = std::max(shared_intermediate, own.shared_intermediate);
    shared_outputs = std::max(shared_outputs, own.shared_outputs);
  }
}

ExpertRunner::ExpertRunner(Device& device, LinearRunner& linear, bool batch_invariant)
    : device_(device),
      linear_(linear),
      batch_invariant_(batch_invariant),
      expert_mlp_("expert_mlp", expert_mlp_variants(batch_invariant)),
      with_shared_("expert_mlp_with_shared", expert_mlp_with_shared_variants(batch_invariant)),
      packed_("packed_expert_mlp", packed_expert_mlp_variants()),
      packed_with_shared_("packed_expert_mlp_with_shared", packed_expert_mlp_with_shared_variants()) {}

Variants<ExpertCall, ExpertVariant>& ExpertRunner::family(const ExpertCall& call) {
  const bool shared = call.shared != nullptr;
  return family(shared, has_packed(*call.group) || (shared && has_packed(*call.shared)));
}

bool ExpertRunner::takes(int64_t hidden, int64_t intermediate, DType dtype) {
  if (dtype == DType::kBf16 || dtype == DType::kU8) return true;
  return dtype == DType::kF16 && intermediate % 8 == 0 && hidden % 8 == 0;  // no unaligned kernel is for f16
}

std::array<int64_t, ExpertRunner::kBuffers> ExpertRunner::sizes(const StepLimits& limits) const {
  ExpertScratch all;
  int64_t shared = 0;  // bytes of a shared expert's intermediate row, after one token's choices
  for (const ExpertShape& shape : limits.experts) {
    if (shape.groups == 1) shared = std::max(shared, weight_stride(shape.intermediate, Type::kBf16) * 2);
    const bool packed = shape.dtype == DType::kU8;
    for (const auto* family : {packed ? &packed_ : &expert_mlp_, packed ? &packed_with_shared_ : &with_shared_}) {
      all.cover(family->table(), shape);
    }
  }
  return {all.intermediate + shared,
          all.outputs,
          all.sorted,
          all.gate_up,
          all.shared_intermediate,
          all.shared_outputs,
          (kMoeFusedCounters + 1) * static_cast<int64_t>(sizeof(unsigned))};
}

size_t ExpertRunner::reserve_bytes(const StepLimits& limits) const {
  const auto all = sizes(limits);
  return static_cast<size_t>(std::accumulate(all.begin(), all.end(), int64_t{0}));
}

absl::Status ExpertRunner::reserve(const StepLimits& limits) {
  pairs_max_ = std::max<int64_t>(limits.pairs_max, limits.tokens_max);
  tensor::Buffer* const buffers[kBuffers] = {&intermediate_,        &outputs_,        &sorted_,  &gate_up_,
                                             &shared_intermediate_, &shared_outputs_, &counters_};
  const auto bytes = sizes(limits);
  for (size_t i = 0; i < kBuffers; ++i) {
    ASSIGN_OR_RETURN(*buffers[i], device_.allocate(static_cast<size_t>(bytes[i])));
  }
  return absl::OkStatus();
}

void ExpertRunner::check(const ExpertVisit& visit, const ExpertCall& call) const {
  const ExpertMlp& mlp = *visit.mlp;
  CHECK(call.x->cols() == mlp.gate_up->shape.cols && call.out->cols() == mlp.down->shape.rows);
  CHECK(mlp.gate_up->shape.rows == 2 * mlp.down->shape.cols && call.x->rows() == visit.routing.ids.rows());
  CHECK(visit.routing.ids.shape.elements() <= pairs_max_ && (!mlp.weight_on_input || mlp.gate_up_bias == nullptr));
}

bool ExpertRunner::run(const ExpertCall& call) {
  check(*call.group, call);
  if (call.shared != nullptr) check(*call.shared, call);
  return call.x->rows() == 0 || family(call).run(call);
}

void ExpertRunner::run_dense(const ExpertCall& call, bool gated_gemv) {
  const ExpertMlp& mlp = *call.group->mlp;
  const Type type = weight_type(mlp);
  const int64_t n = call.x->rows(), intermediate = mlp.down->shape.cols, stride = weight_stride(intermediate, type);
  const float* weights = call.group->routing.weights.f32();
  const Matrix x = linear_.aligned(matrix_of(*call.x), type);
  const Matrix activated{intermediate_.data(), n, stride, stride, type};
  CHECK(static_cast<size_t>(n * stride * 2) <= intermediate_.bytes());
  const WeightMatrix gate_up = weight_matrix(*mlp.gate_up);
  if (gated_gemv) {
    gemv({.x = x, .y = activated, .w = gate_up, .gated = true, .glu = mlp.glu, .factors = weights},
         device_.n_multiprocessors(), device_.stream());
  } else {
    // f32 for f16 weights: a sum may overflow f16.
    const Matrix both{gate_up_.data(), n, 2 * intermediate, 2 * intermediate, type == Type::kF16 ? Type::kF32 : type};
    CHECK(static_cast<size_t>(n * 2 * intermediate * type_bytes(both.type)) <= gate_up_.bytes());
    linear_.run({.x = x, .y = both, .w = gate_up, .epilogue = {}});
    glu(mlp.glu, both, weights, activated, device_.stream());
  }
  linear_.run({.x = activated,
               .y = matrix_of(*call.out),
               .w = weight_matrix(*mlp.down),
               .epilogue = {.accumulate = true, .scale = mlp.scale}});
  device_.launched("dense network");
}

MoeDecode1 ExpertRunner::decode_problem(const ExpertCall& call) const {
  const ExpertMlp& mlp = *call.group->mlp;
  const Routing& routing = call.group->routing;
  MoeDecode1 token{.x = matrix_of(*call.x),
                   .y = matrix_of(*call.out),
                   .gate_up = weight_matrix(*mlp.gate_up),
                   .down = weight_matrix(*mlp.down),
                   .experts = routing.ids.i32(),
                   .factors = routing.weights.f32(),
                   .n_choices = static_cast<int>(routing.ids.cols()),
                   .glu = mlp.glu,
                   .scale = mlp.scale,
                   .intermediate = intermediate_.data(),
                   .counter = static_cast<unsigned*>(counters_.data()) + kMoeFusedCounters};
  if (call.shared != nullptr) {
    token.shared_gate_up = weight_matrix(*call.shared->mlp->gate_up);
    token.shared_down = weight_matrix(*call.shared->mlp->down);
    token.shared_factors = call.shared->routing.weights.f32();
  }
  return token;
}

void ExpertRunner::run_decode_1(const ExpertCall& call) {
  MoeDecode1 token = decode_problem(call);
  token.x = linear_.aligned(token.x, Type::kBf16);
  const int64_t elements = token.n_choices * token.down.cols + token.shared_down.cols;
  CHECK(static_cast<size_t>(elements * 2) <= intermediate_.bytes());
  const PackedExperts* packed = find_packed_experts(token.gate_up.cell, token.down.cell);
  const auto kernel = packed != nullptr ? packed->decode_1 : moe_decode_1;
  kernel(token, device_.n_multiprocessors(), device_.stream());
  device_.launched("a token's experts");
}

ExpertRunner::Gemms ExpertRunner::gemms_of(const ExpertVisit& visit, const Matrix& x, bool shared,
                                           int64_t parts) const {
  const ExpertMlp& mlp = *visit.mlp;
  const Type type = weight_type(mlp);
  const tensor::Buffer &intermediate = shared ? shared_intermediate_ : intermediate_,
                       &outputs = shared ? shared_outputs_ : outputs_;
  const int64_t pairs = visit.routing.ids.shape.elements(), hidden = mlp.down->shape.rows;
  const int64_t stride = weight_stride(mlp.down->shape.cols, type);
  const Matrix activated{intermediate.data(), pairs, stride, stride, type};
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
                    .y = activated},
          .second = {.x = activated,
                     .w = weight_matrix(*mlp.down),
                     .bias = mlp.down_bias,
                     .groups = groups,
                     .top_k = visit.routing.ids.cols(),
                     .first = false,
                     .y = y,
                     .parts = static_cast<int>(parts)}};
}

bool ExpertRunner::can_unpack(const ExpertMlp& mlp) const {
  for (const Weight* w : {mlp.gate_up, mlp.down}) {
    const WeightMatrix m = weight_matrix(*w);
    if (is_packed(m) && m.groups * m.rows > linear_.unpacker().rows_max(m)) return false;
  }
  return true;
}

// The first GEMM's rows become every pair's, by expert.
void ExpertRunner::sort_inputs(ExpertGemm& first, bool rounded) {
  const Matrix to{sorted_.data(), first.groups.n_pairs, first.x.cols, first.x.cols, first.x.type};
  CHECK(static_cast<size_t>(to.rows * to.cols * 2) <= sorted_.bytes());
  Matrix once;  // every token rounded, not every pair
  if (rounded && first.top_k > 1) once = linear_.rounded(first.x);
  if (once.data != nullptr) {
    Matrix words = to;
    words.cols = once.stride;
    gather_pairs(once, first.groups, first.top_k, words, device_.stream());
  } else if (rounded) {
    e4m3_rows({.x = first.x, .to = to, .groups = first.groups, .top_k = first.top_k, .gather = true}, device_.stream());
  } else {
    gather_pairs(first.x, first.groups, first.top_k, to, device_.stream());
  }
  first.x = to;
}

void ExpertRunner::run_fused_small_m(const ExpertCall& call) {
  const ExpertVisit &visit = *call.group, *shared = call.shared;
  const Matrix x = linear_.aligned(matrix_of(*call.x), weight_type(*visit.mlp));
  // grouped_gemm_sm90 does not split the inputs.
  const auto parts_of = [&](const ExpertVisit& v) {
    return batch_invariant_ ? 1 : second_parts(v.mlp->down->shape.cols);
  };
  Gemms group = gemms_of(visit, x, false, parts_of(visit));
  std::optional<Gemms> beside;
  if (shared != nullptr) beside = gemms_of(*shared, x, true, parts_of(*shared));
  group.first.sorted = x.rows > kUnsortedTokensMax;
  if (group.first.sorted) sort_inputs(group.first, false);
  auto* const counters = static_cast<unsigned*>(counters_.data());
  const PackedExperts* packed = find_packed_experts(group.first.w.cell, group.second.w.cell);
  const auto kernel = packed != nullptr ? packed->fused : moe_fused_small_m;
  CHECK(kernel({.first = group.first,
                .second = group.second,
                .shared_first = beside ? &beside->first : nullptr,
                .shared_second = beside ? &beside->second : nullptr,
                .counters = counters},
               device_.n_multiprocessors(), device_.stream()));
  device_.launched("expert_mlp");
  Combine sums = combine_of(visit, group.second, *call.out);
  sums.counters = counters, sums.n_counters = kMoeFusedCounters;
  if (beside) {
    sums.shared = beside->second.y;
    sums.shared_parts = beside->second.parts;
    sums.shared_weights = shared->routing.weights.f32();
    sums.shared_scale = shared->mlp->scale;
  }
  if (batch_invariant_) {
    combine_rounded(sums, weight_type(*visit.mlp), device_.stream());
  } else {
    combine(sums, device_.stream());
  }
  device_.launched("expert_mlp, sums");
}

void ExpertRunner::run_grouped(const ExpertCall& call, Grouped kernel) {
  const ExpertMlp& mlp = *call.group->mlp;
  const Matrix x = linear_.aligned(matrix_of(*call.x), weight_type(mlp));
  Gemms group = gemms_of(*call.group, x, false, 1);
  // Where only one of the two GEMMs has rows that tiles do not divide, the other still runs on wgmma.
  const bool mixed = first_rows_fit(mlp) != second_rows_fit(mlp);
  const bool packed = kernel == Grouped::kPackedSm90, rounded = kernel == Grouped::kE4m3;
  const bool sm90 = packed || rounded || kernel == Grouped::kSm90;
  const bool first_sm90 = sm90 || (mixed && first_rows_fit(mlp));
  const bool second_sm90 = sm90 || (mixed && second_rows_fit(mlp));
  const auto multiply = [&](ExpertGemm gemm, bool on_sm90) {
    if (rounded) {
      const Weight& weight = gemm.first ? *mlp.gate_up : *mlp.down;
      CHECK(e4m3_gemm({.p = gemm, .scale_cols = weight.format->block_cols}, device_.n_multiprocessors(),
                      device_.stream()));
      return;
    }
    if (packed && is_packed(gemm.w)) {
      CHECK(packed_grouped_gemm(gemm, device_.n_multiprocessors(), device_.stream()));
      return;
    }
    gemm.w = linear_.unpacker().all(gemm.w);
    if (on_sm90) {
      CHECK(grouped_gemm_sm90(gemm, device_.n_multiprocessors(), device_.stream()));
    } else if (kernel == Grouped::kUnalignedSmall) {
      grouped_gemm_unaligned_small(gemm, x.rows, device_.stream());
    } else {
      grouped_gemm_unaligned_large(gemm, device_.stream());
    }
  };
  if (first_sm90) sort_inputs(group.first, rounded);
  if (second_sm90) group.second.y.type = weight_type(mlp);  // half the bytes of f32, which bound the epilogue
  multiply(group.first, first_sm90);
  if (rounded) {
    e4m3_rows({.x = group.second.x, .to = group.second.x, .groups = group.second.groups}, device_.stream());
  }
  multiply(group.second, second_sm90);
  device_.launched("expert_mlp");
  combine(combine_of(*call.group, group.second, *call.out), device_.stream());
  device_.launched("expert_mlp, sums");
}

}  // namespace polymath::backend::cuda
