#include "layers/moe_layer.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "layers/batch_routing.h"
#include "routing/validate.h"

namespace polymath::layers {

using tensor::DType;
using tensor::Tensor;

std::vector<backend::BufferSize<MoeScratch>> MoeScratch::sizes(int64_t tokens_max, int64_t pairs_max,
                                                               int64_t logits_max) {
  const size_t pairs = static_cast<size_t>(pairs_max), tokens = static_cast<size_t>(tokens_max);
  const auto logits = static_cast<size_t>(logits_max);
  using S = MoeScratch;
  return {{&S::logits_, tokens * logits * sizeof(float)}, {&S::ids_, pairs * sizeof(int32_t)},
          {&S::weights_, pairs * sizeof(float)},          {&S::pairs_, pairs * sizeof(int32_t)},
          {&S::zeros_, tokens * sizeof(int32_t)},         {&S::ones_, tokens * sizeof(float)},
          {&S::gate_ids_, tokens * sizeof(int32_t)},      {&S::gate_weights_, tokens * sizeof(float)},
          {&S::offsets_, (logits + 1) * sizeof(int32_t)}, {&S::order_, tokens * sizeof(int32_t)},
          {&S::ends_, 2 * (tokens + 1) * sizeof(int32_t)}};
}

size_t MoeScratch::bytes(int64_t tokens_max, int64_t pairs_max, int64_t logits_max) {
  return backend::bytes_of(sizes(tokens_max, pairs_max, logits_max));
}

absl::StatusOr<MoeScratch> MoeScratch::create(backend::Backend& backend, int64_t tokens_max, int64_t pairs_max,
                                              int64_t logits_max) {
  MoeScratch s;
  RETURN_IF_ERROR(backend::allocate_all(backend, sizes(tokens_max, pairs_max, logits_max), s));
  const auto tokens = static_cast<size_t>(tokens_max);
  const std::vector<float> ones(tokens, 1.0f);
  backend.copy_in({DType::kF32, {tokens_max}, s.ones_.data()}, ones.data());
  std::vector<int32_t> order(tokens), ends(2 * (tokens + 1), 0);
  for (size_t n = 0; n <= tokens; ++n) ends[2 * n + 1] = static_cast<int32_t>(n);
  std::iota(order.begin(), order.end(), 0);
  backend.copy_in({DType::kI32, {tokens_max}, s.order_.data()}, order.data());
  backend.copy_in({DType::kI32, {static_cast<int64_t>(ends.size())}, s.ends_.data()}, ends.data());
  return s;
}

backend::Routing MoeScratch::routing(int64_t tokens, int64_t top_k) const {
  return {{DType::kI32, {tokens, top_k}, ids_.data()}, {DType::kF32, {tokens, top_k}, weights_.data()}};
}

backend::Routing MoeScratch::to_one_expert(int64_t tokens) const {
  return {{DType::kI32, {tokens, 1}, zeros_.data()}, {DType::kF32, {tokens, 1}, ones_.data()}};
}

backend::Routing MoeScratch::of_gate(int64_t tokens) const {
  return {{DType::kI32, {tokens, 1}, gate_ids_.data()}, {DType::kF32, {tokens, 1}, gate_weights_.data()}};
}

backend::ExpertGroups MoeScratch::one_group(int64_t tokens) const {
  return {
      {DType::kI32, {2}, static_cast<int32_t*>(ends_.data()) + 2 * tokens}, {DType::kI32, {tokens}, order_.data()}, {}};
}

backend::ExpertGroups MoeScratch::groups(int64_t pairs, int64_t experts, const Tensor& load) const {
  return {{DType::kI32, {experts + 1}, offsets_.data()}, {DType::kI32, {pairs}, pairs_.data()}, load};
}

namespace {

// How sure the router was. REQUIRES: host memory.
void add_shares(const backend::Routing& routing, RoutingTotals& totals) {
  const int64_t top_k = routing.ids.cols();
  for (int64_t t = 0; t < routing.ids.rows(); ++t) {
    const int32_t* ids = routing.ids.i32() + t * top_k;
    const float* weights = routing.weights.f32() + t * top_k;
    float most = 0, sum = 0;
    for (int64_t i = 0; i < top_k; ++i) {
      if (ids[i] < 0) continue;
      most = std::max(most, weights[i]);
      sum += weights[i];
    }
    if (!(sum > 0)) continue;
    totals.top_shares += most / sum;
    ++totals.n_tokens;
  }
}

constexpr std::string_view kSoftRouting = "soft_moe";

absl::Status set_routing(const FfnConfig& ffn, MoeLayer& m) {
  m.routed = ffn.routing == "expert_choice" ? Routed::kExpertChoice
             : ffn.routing == kSoftRouting  ? Routed::kSoft
                                            : Routed::kTokenWise;
  if (m.routed != Routed::kTokenWise) return absl::OkStatus();
  const routing::Router* router = routing::find_router(ffn.routing);
  if (router == nullptr) return absl::UnimplementedError(absl::StrCat("routing \"", ffn.routing, "\" is not known"));
  m.route = router->route;
  return routing::validate(*router, ffn.router);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MoeLayer>> MoeLayer::make(const FfnConfig& ffn, const LayerBuilder& b) {
  auto m = std::make_unique<MoeLayer>();
  m->config = ffn.router;
  m->capacity_factor = ffn.capacity_factor;
  m->slots = ffn.slots;
  const std::string p = ffn.role + ".";
  if (!ffn.routing.empty()) {
    RETURN_IF_ERROR(set_routing(ffn, *m));
    m->router = b.matrix(p + "router");
    m->router_bias = b.vector(p + "router_bias");
    m->selection_bias = b.vector(p + "selection_bias");
  }
  m->gate_up = b.matrix(p + "gate_up");
  m->down = b.matrix(p + "down");
  m->mine = ffn.local.count > 0 ? ffn.local : parallel::Slice{0, ffn.router.n_experts};
  if (ffn.local.count > 0) m->share_ = 1.0 / b.rank.size;
  if (ffn.copies_max > 0) {
    m->copies_max_ = ffn.copies_max;
    ASSIGN_OR_RETURN(m->copies_, b.backend.allocate(placement_bytes(ffn)));
    const parallel::PlacementShape shape{b.rank.size, static_cast<int>(ffn.local.count)};
    m->place(b.backend, parallel::first_placement(ffn.router.n_experts, shape), b.rank);
  }
  // One rank adds the bias of a sum that is split. Whole experts add their own.
  const bool adds_bias = b.rank.first() || ffn.local.count > 0;
  const float* down_bias = adds_bias ? b.vector(p + "down_bias") : nullptr;
  m->mlp = {.gate_up = &m->gate_up,
            .down = &m->down,
            .gate_up_bias = b.vector(p + "gate_up_bias"),
            .down_bias = down_bias,
            .glu = ffn.glu,
            .weight_on_input = ffn.weight_on_input,
            .scale = b.residual_scale};
  return m;
}

std::vector<backend::BufferSize<MoeLayer>> MoeLayer::slot_sizes(const FfnConfig& ffn, int64_t hidden) {
  if (ffn.routing != kSoftRouting) return {};
  const size_t bytes = static_cast<size_t>(ffn.router_width() * hidden) * sizeof(float);
  return {{&MoeLayer::slot_inputs, bytes}, {&MoeLayer::slot_outputs, bytes}};
}

absl::Status MoeLayer::reserve(backend::Backend& backend, const FfnConfig& ffn, int64_t hidden) {
  return backend::allocate_all(backend, slot_sizes(ffn, hidden), *this);
}

size_t MoeLayer::placement_bytes(const FfnConfig& ffn) {
  if (ffn.copies_max == 0) return 0;
  return static_cast<size_t>(ffn.router.n_experts) * static_cast<size_t>(1 + ffn.copies_max) * sizeof(int32_t);
}

Tensor MoeLayer::copies() const {
  if (copies_max_ == 0) return {};
  return {DType::kI32, {config.n_experts, 1 + copies_max_}, copies_.data()};
}

void MoeLayer::place(backend::Backend& backend, const parallel::Placement& to, parallel::Rank rank) {
  CHECK(copies_max_ > 0 && static_cast<int64_t>(to.size()) == mine.count * rank.size);
  const Tensor table = copies();
  const auto width = static_cast<size_t>(table.cols());
  std::vector<int32_t> host(static_cast<size_t>(table.shape.elements()), -1);
  for (size_t e = 0; e < host.size(); e += width) host[e] = 0;
  for (size_t p = 0; p < to.size(); ++p) {
    int32_t* row = host.data() + static_cast<size_t>(to[p]) * width;
    CHECK(row[0] < copies_max_);
    const int64_t slot = static_cast<int64_t>(p) - mine.begin;
    if (slot >= 0 && slot < mine.count) row[row[0] + 1] = static_cast<int32_t>(slot);
    ++row[0];
  }
  backend.copy_in(table, host.data());
  placement = to;
}

void MoeLayer::join_to(MoeLayer& before) {
  const auto routes = [](const MoeLayer& m) {
    return m.routed == Routed::kTokenWise && m.by_token() && !m.router.empty();
  };
  const bool gated = routes(*this) && config.n_experts == 1;
  if (!routes(before) || before.joined || (!gated && routed != Routed::kOneExpert)) return;
  if (gated) routed = Routed::kGated;
  joined = true;
  before.shared = this;
}

void MoeLayer::add_cost(double rows, double pairs, double touched, StepCost& cost) const {
  cost.add_weight(router, rows);
  cost.add_weight(gate_up, share_ * pairs, share_ * touched);
  cost.add_weight(down, share_ * pairs, share_ * touched);
}

// Routing that looks at the whole step runs on the host.
void MoeLayer::route_whole_step(backend::Backend& backend, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                                const backend::RoutedTokens& out) const {
  if (!router.empty()) backend.linear(x, router, {.bias = router_bias}, logits);
  if (routed == Routed::kExpertChoice) {
    choose_by_experts(backend, config, capacity_factor, logits, out.routing);
  } else {
    backend.route({config, route, selection_bias}, logits, tokens, out.routing);
    const int n_dropped = drop_over_capacity(backend, config, capacity_factor, out.routing);
    if (totals != nullptr) totals->n_dropped += n_dropped;
  }
  backend.group_by_expert(out.routing, config.n_experts, out.groups);
}

backend::RouteExperts MoeLayer::router_params() const {
  return {router.empty() ? nullptr : &router, router_bias, selection_bias, config, route};
}

void MoeLayer::run(const Step& step, const Tensor& x, const Tensor& tokens, const Tensor& out) const {
  backend::Backend& backend = step.ctx.backend;
  const MoeScratch& scratch = step.scratch;
  if (routed == Routed::kSoft) return run_soft(backend, x, scratch, out);
  const int64_t n = x.rows();
  CHECK(!joined);
  if (routed == Routed::kOneExpert) {
    return backend.expert_mlp(mlp, x, scratch.to_one_expert(n), scratch.one_group(n), out);
  }
  const Tensor logits = scratch.logits(n, config.n_experts);
  const backend::Routing routing = scratch.routing(n, config.top_k);
  auto groups = scratch.groups(routing.ids.shape.elements(), config.n_experts, load);
  const bool gated = shared != nullptr && shared->routed == Routed::kGated;
  if (by_token()) {
    backend::RouteExperts params = router_params(), gate;
    if (gated) {
      gate = shared->router_params();
      params.gate = &gate;
      params.gate_out = scratch.of_gate(n);
    }
    backend.route_experts(params, x, tokens, logits, {routing, groups});
  } else {
    route_whole_step(backend, x, tokens, logits, {routing, groups});
  }
  if (totals != nullptr && totals->on_host) add_shares(routing, *totals);
  if (!has_all_experts()) {
    step.dispatch.to_experts(step.ctx, {mine, copies()}, {routing, groups});
    groups = scratch.groups(routing.ids.shape.elements(), mine.count, {});
    backend.group_by_expert(routing, static_cast<int>(mine.count), groups);
  }
  if (shared == nullptr) return backend.expert_mlp(mlp, x, routing, groups, out);
  const backend::Routing to_shared = gated ? scratch.of_gate(n) : scratch.to_one_expert(n);
  backend.expert_mlp_with_shared({&mlp, routing, groups}, {&shared->mlp, to_shared, scratch.one_group(n)}, x, out);
}

// A slot's input mixes the tokens. A token's output mixes the slots' outputs.
void MoeLayer::run_soft(backend::Backend& backend, const Tensor& x, const MoeScratch& scratch,
                        const Tensor& out) const {
  const int64_t n_slots = static_cast<int64_t>(config.n_experts) * slots, hidden = out.cols();
  const Tensor logits = scratch.logits(x.rows(), n_slots);
  backend.linear(x, router, {}, logits);
  const SoftMixture mixture = mix_slots(backend, logits, x);
  const Tensor inputs{DType::kF32, {n_slots, hidden}, slot_inputs.data()},
      outputs{DType::kF32, {n_slots, hidden}, slot_outputs.data()};
  backend.copy_in(inputs, mixture.slot_inputs.data());
  const std::vector<float> zeros(static_cast<size_t>(n_slots * hidden));
  backend.copy_in(outputs, zeros.data());
  const backend::Routing routing = scratch.routing(n_slots, 1);
  std::vector<int32_t> ids(static_cast<size_t>(n_slots));
  for (int64_t i = 0; i < n_slots; ++i) ids[i] = static_cast<int32_t>(i / slots);
  const std::vector<float> ones(static_cast<size_t>(n_slots), 1.0f);
  backend.copy_in(routing.ids, ids.data());
  backend.copy_in(routing.weights, ones.data());
  const auto groups = scratch.groups(n_slots, config.n_experts, load);
  backend.group_by_expert(routing, config.n_experts, groups);
  backend::ExpertMlp unscaled = mlp;
  unscaled.scale = 1;
  backend.expert_mlp(unscaled, inputs, routing, groups, outputs);
  combine_slots(backend, mixture, outputs, mlp.scale, out);
}

}  // namespace polymath::layers
