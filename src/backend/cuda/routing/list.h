#pragma once

// The variants of the routing op families, best first.

#include "backend/cuda/routing/routing.h"
#include "backend/cuda/views.h"
#include "backend/variant.h"

namespace polymath::backend::cuda {

// A layer's routing.
struct RouteLayerCall {
  RouteLayer layer;
  routing::RouteFn router = nullptr;
  bool has_router = true;       // false: routing without logits (hash)
  bool same_type = true;        // the gate's weight has the router's type and width
  bool gate_is_sigmoid = true;  // the gate's routing is sigmoid(x gate^T) and nothing else; true without a gate
  cudaStream_t stream = nullptr;
};

RouteProblem route_problem(const RouteParams& params, const Tensor& logits, const Tensor& tokens, const Routing& out);
// Without outputs, tokens, scratch and stream: what the choice of a variant needs.
RouteLayerCall route_layer_call(const RouteExperts& params, const Tensor& x);

class RoutingFamilies {
 public:
  // batch_invariant: a token's choices depend on that token alone.
  explicit RoutingFamilies(bool batch_invariant);
  Variants<RouteLayerCall> route_experts;
};

}  // namespace polymath::backend::cuda
