// The default compositions of the fused ops. They run on every backend and are the oracle of every override.

#include "backend/backend.h"

#include <algorithm>
#include <vector>

namespace polymath::backend {

// The op families that every backend has: primitives, then fused ops.
constexpr std::string_view kPrimitives[] = {"linear", "batched_linear", "attention"};
constexpr std::string_view kFused[] = {"attention_of_qkv", "prepare_qkv", "prepare_latent",
                                       "route_experts",    "expert_mlp",  "expert_mlp_with_shared"};

std::vector<KernelInfo> Backend::kernels_of(std::span<const KernelInfo::Variant> own,
                                            std::span<const std::string_view> own_ops) {
  std::vector<KernelInfo> all;
  for (const std::string_view op : kPrimitives) all.push_back({op, {own.begin(), own.end()}});
  for (const std::string_view op : kFused) {
    const bool overridden = std::find(own_ops.begin(), own_ops.end(), op) != own_ops.end();
    all.push_back({op, {}});
    if (overridden) all.back().variants.assign(own.begin(), own.end());
    all.back().variants.push_back({kComposition, !overridden});
  }
  return all;
}

std::vector<std::string_view> Backend::kernels_for(const OpCall& call) {
  std::vector<std::string_view> names;
  for (const KernelInfo& family : kernels()) {
    if (family.op != call.op) continue;
    for (const KernelInfo::Variant& v : family.variants) {
      if (v.on_machine) names.insert(v.ran ? names.begin() : names.end(), v.name);
    }
  }
  return names;
}

Backend::DefaultSizes Backend::default_sizes(const StepLimits& limits) {
  const size_t pairs = static_cast<size_t>(limits.pairs_max) * sizeof(float);
  const size_t intermediate = static_cast<size_t>(limits.intermediate_max),
               hidden = static_cast<size_t>(limits.hidden_max);
  return {.gate_up = pairs * 2 * intermediate,
          .intermediate = pairs * intermediate,
          .down = pairs * hidden,
          .input = pairs * 2};
}

size_t Backend::reserve_defaults_bytes(const StepLimits& limits) {
  const DefaultSizes sizes = default_sizes(limits);
  return sizes.gate_up + sizes.intermediate + sizes.down + sizes.input;
}

absl::Status Backend::reserve_defaults(const StepLimits& limits) {
  const DefaultSizes sizes = default_sizes(limits);
  ASSIGN_OR_RETURN(gate_up_buffer_, allocate(sizes.gate_up));
  ASSIGN_OR_RETURN(intermediate_buffer_, allocate(sizes.intermediate));
  ASSIGN_OR_RETURN(down_buffer_, allocate(sizes.down));
  ASSIGN_OR_RETURN(input_buffer_, allocate(sizes.input));
  pairs_max_ = limits.pairs_max;
  const std::vector<float> ones(static_cast<size_t>(limits.pairs_max), 1.0f);
  copy_in({DType::kF32, {limits.pairs_max}, input_buffer_.data()}, ones.data());
  return absl::OkStatus();
}

const quant::QuantFormat& Backend::kept_format(const quant::QuantFormat&, quant::WeightUse use, DType dtype) const {
  const bool exact = use == quant::WeightUse::kVector || use == quant::WeightUse::kRouter;
  return exact ? quant::kF32 : quant::plain_format(dtype);
}

absl::StatusOr<std::unique_ptr<CapturedGraph>> Backend::end_capture() {
  return absl::UnimplementedError("this backend captures no graphs");
}
void Backend::sample(const Tensor&, const SampleParams*, const Tensor&) { CHECK(samples_on_device()); }
void Backend::take_sampled(const Tensor&, const Tensor&, const Tensor&) { CHECK(samples_on_device()); }

void Backend::prepare_qkv(const QkvParams& p, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) {
  const int64_t q_width = int64_t{p.n_heads} * p.head_dim, kv_width = int64_t{p.n_kv_heads} * p.head_dim;
  const Tensor q = qkv.slice_cols(0, q_width), k = qkv.slice_cols(q_width, kv_width),
               v = qkv.slice_cols(q_width + kv_width, kv_width);
  const auto rotate = [&](const Tensor& x, int heads, const float* weight) {
    const NormParams norm{.eps = p.eps, .segments = p.norm == QkvNorm::kWhole ? 1 : heads, .weight = weight};
    RopeParams of_heads = p.rope;
    of_heads.heads = heads;
    of_heads.head_stride = p.head_dim;
    if (p.norm == QkvNorm::kHead || p.norm == QkvNorm::kWhole) this->norm(norm, x, x);
    if (p.rope.cos_sin != nullptr) rope(of_heads, layout.positions, x);
    if (p.norm == QkvNorm::kHeadAfter) this->norm(norm, x, x);
  };
  rotate(q, p.n_heads, p.q_norm);
  rotate(k, p.n_kv_heads, p.k_norm);
  if (p.factors != nullptr) scale_rows({DType::kF32, {q.rows()}, const_cast<float*>(p.factors)}, q);
  kv_write(kv, k, v, layout.slots);
}

void Backend::attention_of_qkv(const QkvAttention& params, const Tensor& qkv, const KvLayer& kv,
                               const StepLayout& layout, const Tensor& out) {
  prepare_qkv(params.qkv, layout, qkv, kv);
  const Tensor q = qkv.slice_cols(0, int64_t{params.qkv.n_heads} * params.qkv.head_dim);
  attention(params.attention, q, kv, layout, out);
}

void Backend::prepare_latent(const LatentParams& p, const StepLayout& layout, const LatentTensors& t,
                             const Weight& key_up, const KvLayer& kv) {
  const auto& [q, k, q_full] = t;
  const int head = p.nope_dim + p.rope.dims, key = p.kv_lora + p.rope.dims;
  RopeParams rotation = p.rope;
  rotation.heads = p.n_heads, rotation.head_stride = head, rotation.offset = p.nope_dim;
  batched_linear(q, head, key_up, key, q_full);
  rope(rotation, layout.positions, q);
  copy_heads({p.n_heads, p.rope.dims, head, key}, q.slice_cols(p.nope_dim, q.cols() - p.nope_dim),
             q_full.slice_cols(p.kv_lora, q_full.cols() - p.kv_lora));
  const Tensor latent = k.slice_cols(0, p.kv_lora);
  norm({.eps = p.eps, .weight = p.kv_norm}, latent, latent);
  rotation.heads = 1, rotation.head_stride = key, rotation.offset = p.kv_lora;
  rope(rotation, layout.positions, k);
  kv_write(kv, k, {}, layout.slots);
}

void Backend::gated_delta_net(const DeltaNetParams&, const DeltaNetTensors&, const StateView&, const StepLayout&) {
  CHECK(false && "asked of a backend without has_gated_delta_net()");
}

void Backend::spread_over_copies(const ExpertGroups&, const Tensor&, const Tensor&) {
  CHECK(false && "asked of a backend without moves_experts()");
}

void Backend::copy_group(const Weight&, int64_t, Weight&, int64_t) {
  CHECK(false && "asked of a backend without moves_experts()");
}

void Backend::route_experts(const RouteExperts& p, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                            const RoutedTokens& out) {
  if (p.gate != nullptr) {
    const RouteExperts& g = *p.gate;
    const Tensor of_gate{logits.dtype, {x.rows(), 1}, logits.data};
    linear(x, *g.router, {.bias = g.router_bias}, of_gate);
    route({g.config, g.route, g.selection_bias}, of_gate, tokens, p.gate_out);
  }
  if (p.router != nullptr) linear(x, *p.router, {.bias = p.router_bias}, logits);
  route({p.config, p.route, p.selection_bias}, logits, tokens, out.routing);
  group_by_expert(out.routing, p.config.n_experts, out.groups);
}

void Backend::expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                         const Tensor& out) {
  const int64_t pairs = routing.ids.shape.elements();
  CHECK(pairs <= pairs_max_);  // reserve_defaults() was called
  const int top_k = static_cast<int>(routing.ids.cols());
  const int64_t intermediate = mlp.down->shape.cols, hidden = mlp.down->shape.rows;
  const Tensor gate_up{DType::kF32, {pairs, 2 * intermediate}, gate_up_buffer_.data()};
  const Tensor activated{activation_dtype(mlp.down->format->dtype), {pairs, intermediate}, intermediate_buffer_.data()};
  const Tensor down{DType::kF32, {pairs, hidden}, down_buffer_.data()};
  Routing combined = routing;
  // On the input, a weight commutes with the (bias-free) projection: w * (x W^T) = (w * x) W^T.
  CHECK(!mlp.weight_on_input || mlp.gate_up_bias == nullptr);
  grouped_linear({mlp.gate_up, mlp.gate_up_bias, &groups, top_k, /*gather=*/true}, x, gate_up);
  if (mlp.weight_on_input) {
    const Tensor ones{DType::kF32, {pairs}, input_buffer_.data()};
    const Tensor sorted{DType::kF32, {pairs, 1}, static_cast<float*>(input_buffer_.data()) + pairs_max_};
    gather_rows(routing.weights.reshape({pairs, 1}), groups.pairs, sorted);
    scale_rows(sorted.reshape({pairs}), gate_up);
    combined.weights = ones.reshape({routing.ids.rows(), routing.ids.cols()});
  }
  glu(mlp.glu, gate_up, activated);
  grouped_linear({mlp.down, mlp.down_bias, &groups, top_k, /*gather=*/false}, activated, down);
  combine(down, groups, combined, mlp.scale, out);
}

void Backend::expert_mlp_with_shared(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x,
                                     const Tensor& out) {
  expert_mlp(*group.mlp, x, group.routing, group.groups, out);
  expert_mlp(*shared.mlp, x, shared.routing, shared.groups, out);
}

}  // namespace polymath::backend
