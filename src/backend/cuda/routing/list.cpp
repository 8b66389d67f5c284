#include "backend/cuda/routing/list.h"

#include "routing/sigmoid_topk.h"

namespace polymath::backend::cuda {
namespace {

// But for the number of tokens and pairs.
bool rows_fit(const RouteLayerCall& c) {
  const RouteLayer& l = c.layer;
  if (!c.has_router || !c.same_type || !c.gate_is_sigmoid || route_kernels(c.router).route_layer == nullptr) {
    return false;
  }
  const routing::RouterConfig& config = l.route.config;
  const bool types = l.router.type != Type::kF16 && l.x.type == Type::kBf16;
  return types && l.x.cols % 8 == 0 && rows_aligned(l.x, 16) && config.n_experts <= kRouteExpertsMax &&
         config.top_k <= kRouteTopKMax;
}
bool layer_fits(const RouteLayerCall& c) {
  const int64_t n = c.layer.x.rows;
  return rows_fit(c) && n <= kRouteTokensMax && n * c.layer.route.config.top_k <= kRoutePairsMax;
}

// The same GEMM and top-k for any number of tokens, then the grouping.
void run_rows(const RouteLayerCall& c) {
  RouteLayer layer = c.layer;
  layer.groups = false;
  route_kernels(c.router).route_layer(layer, c.stream);
  group_by_expert({.ids = layer.route.ids,
                   .n_pairs = layer.route.n * layer.route.config.top_k,
                   .n_experts = layer.route.config.n_experts,
                   .offsets = layer.offsets,
                   .pairs = layer.pairs,
                   .load = layer.load},
                  c.stream);
}

// In order of speed, best first.
constexpr Variant<RouteLayerCall> kRouteExperts[] = {
    {"route_layer", layer_fits,
     [](const RouteLayerCall& c) { route_kernels(c.router).route_layer(c.layer, c.stream); }},
    {kComposition, fits_always<RouteLayerCall>, nullptr},
};

constexpr Variant<RouteLayerCall> kRouteExpertsInvariant[] = {
    {"route_layer", layer_fits,
     [](const RouteLayerCall& c) { route_kernels(c.router).route_layer(c.layer, c.stream); }},
    {"route_rows", rows_fit, run_rows},
    {kComposition, fits_always<RouteLayerCall>, nullptr},
};

// Its weight is sigmoid(x gate^T), and nothing else is asked of it.
bool is_sigmoid_gate(const RouteExperts& gate) {
  return gate.route == routing::sigmoid_topk && gate.config.n_experts == 1 && !gate.config.normalize &&
         gate.config.weight_scale == 1 && gate.router_bias == nullptr && gate.selection_bias == nullptr;
}

}  // namespace

RouteProblem route_problem(const RouteParams& p, const Tensor& logits, const Tensor& tokens, const Routing& out) {
  return {.config = p.config,
          .logits = logits.f32(),
          .n = logits.rows(),
          .stride = logits.stride(),
          .bias = p.bias,
          .tokens = tokens.i32(),
          .ids = out.ids.i32(),
          .weights = out.weights.f32()};
}

RouteLayerCall route_layer_call(const RouteExperts& p, const Tensor& x) {
  const auto same = [&](const RouteExperts& r) {
    return r.router->format->dtype == p.router->format->dtype && r.router->shape.cols == x.cols();
  };
  RouteLayerCall call{.layer = {}, .router = p.route, .has_router = p.router != nullptr};
  call.layer.x = matrix_of(x);
  call.layer.route.config = p.config;
  call.layer.router_bias = p.router_bias;
  if (p.router == nullptr) return call;
  call.layer.router = weight_matrix(*p.router);
  call.same_type = same(p) && (p.gate == nullptr || same(*p.gate));
  if (p.gate == nullptr) return call;
  call.layer.gate = weight_matrix(*p.gate->router);
  call.gate_is_sigmoid = is_sigmoid_gate(*p.gate);
  return call;
}

RoutingFamilies::RoutingFamilies(bool batch_invariant)
    : route_experts("route_experts", batch_invariant ? std::span<const Variant<RouteLayerCall>>(kRouteExpertsInvariant)
                                                     : kRouteExperts) {}

}  // namespace polymath::backend::cuda
