#pragma once

// Entries of the routing kernels. A table made from routing/list.h has a row for each token-wise router.

#include "backend/cuda/matrix.h"
#include "routing/router.h"

namespace polymath::backend::cuda {

struct RouteProblem {
  routing::RouterConfig config;
  const float* logits = nullptr;
  int64_t n = 0, stride = 0;
  const float* bias = nullptr;
  const int32_t* tokens = nullptr;
  int32_t* ids = nullptr;
  float* weights = nullptr;
};

// A layer's routing in one launch: router GEMM, top-k and grouping by expert.
constexpr int kRouteTokensMax = 128;   // more: the default composition
constexpr int kRouteExpertsMax = 256;  // more: the default composition
constexpr int kRoutePairsMax = 2048;   // more: the default composition
constexpr int kRouteTopKMax = 32;      // more (a lane each): the default composition
constexpr int kRouteGroup = 16;        // tokens of a cluster
constexpr int kRouteCounters = 1;
struct RouteLayer {
  Matrix x;             // bf16, rows of 16-byte words, cols a multiple of 8
  WeightMatrix router;  // f32 or bf16 [n_experts, cols]
  WeightMatrix
      gate;  // of a shared expert: [1, cols], the router's type; its weight is sigmoid(x gate^T); data null: none
  float* gate_weights = nullptr;
  const float* router_bias = nullptr;
  RouteProblem route;  // without logits: they never leave the kernel
  int32_t *offsets = nullptr, *pairs = nullptr;
  int64_t* load = nullptr;       // [2, n_experts], as ExpertGroups::load; null: not counted
  bool groups = true;            // false: pairs are not grouped; any number of tokens and pairs
  unsigned* counters = nullptr;  // [kRouteCounters]: zeros before and after
};

struct RouteKernels {
  routing::RouteFn router;
  void (*route)(const RouteProblem& problem, cudaStream_t stream);
  void (*route_layer)(const RouteLayer& problem, cudaStream_t stream);  // null: the router has no warp form
};
// REQUIRES: `router` is one of routing/list.h.
const RouteKernels& route_kernels(routing::RouteFn router);

struct GroupByExpert {
  const int32_t* ids = nullptr;
  int64_t n_pairs = 0;
  int n_experts = 0;
  int32_t *offsets = nullptr, *pairs = nullptr;
  int64_t* load = nullptr;  // as RouteLayer::load
};
void group_by_expert(const GroupByExpert& grouping, cudaStream_t stream);
// The same, faster from kGroupLargePairs on. REQUIRES: at most kGroupPairsMax pairs.
constexpr int64_t kGroupLargePairs = 1025;
constexpr int64_t kGroupPairsMax =
    int64_t{65535} * 256;  // 16-bit counts hold a warp's share; more: group_by_expert's own
void group_by_expert_large(const GroupByExpert& grouping, cudaStream_t stream);
// row_of[pairs[j]] = j.
void invert_pairs(const Groups& groups, int32_t* row_of, cudaStream_t stream);
// As Backend::keep_local.
struct LocalIds {
  int32_t* ids = nullptr;
  int64_t n = 0;
  int begin = 0, count = 0;
};
void keep_local(const LocalIds& local, cudaStream_t stream);

}  // namespace polymath::backend::cuda
