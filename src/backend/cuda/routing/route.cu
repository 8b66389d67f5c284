// The top-k of each row of logits, a warp a row. For few tokens, a layer's whole routing in one launch.
//
// In the fused kernel the blocks of a cluster multiply the router with sixteen tokens. The first block sums up and
// routes them; the last cluster groups the pairs by expert. A small step waits for each of these in turn, so loads and
// sends are issued as early as possible. The routing weights, on which nothing waits, come last.

#include <array>
#include <utility>

#include "backend/cuda/cluster.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/routing/router_gemm.cuh"
#include "backend/cuda/routing/routing.h"
#include "backend/cuda/routing/topk_warp.cuh"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {
namespace {

// One warp a block, so that ROW_SCRATCH is the row's own.
template <routing::RouteFn kRoute>
__global__ void route_kernel(RouteProblem p) {
  wait_for_input();
  route_one<kRoute>(p, p.logits + blockIdx.x * p.stride, blockIdx.x, p.tokens[blockIdx.x]);
}

template <routing::RouteFn kRoute>
void launch_route(const RouteProblem& p, cudaStream_t stream) {
  if (p.n > 0) launch_after(route_kernel<kRoute>, {dim3(static_cast<unsigned>(p.n)), dim3(kWarp), 0, stream}, p);
}

// --- a layer's routing ---

constexpr int kPairsOfLane = kRoutePairsMax / kThreads;
constexpr int kFewPairs = 128;           // counted one by one
constexpr int kGrouping = kThreads / 2;  // threads that do it: one an expert

// As group_kernel, by one block: each warp counts the experts of a run of pairs. Its pairs then follow those of the
// warps before.
struct Counts {
  int of_warp[kWarps][kRouteExpertsMax];
  int first[kRouteExpertsMax + 1];  // pairs of each expert, then its first place
};

struct RoutingSpace {
  float shares[kWarps][kTileSums];            // of a tile, a warp's each
  alignas(int4) int32_t ids[kRoutePairsMax];  // not in the shares' place: others' sends do not say that those are read
  // In the cluster's first block:
  union {
    float sums[kTilesMost * kTileSums];  // [part][kTileTokens][rows of all tiles]
    Counts counts;                       // afterwards
  };
  float bias[kRouteExpertsMax];
  uint64_t sums_there;  // a barrier
};

// Sends the sum of the warps' shares to the cluster's first block, for the tokens that exist. Its mbarrier counts the
// bytes.
__device__ __forceinline__ void send_sums(const Cut& cut, int tile, int part, int n, RoutingSpace& s) {
  const int i = static_cast<int>(threadIdx.x), lane = i % kWarp, j = i / kWarp;
  const int token = j / 4 * 8 + lane % 4 * 2 + j % 2, row = tile * kTileRows + lane / 4 + j / 2 % 2 * 8;
  if (i >= kTileSums || token >= n) return;
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += s.shares[w][i];
  const uint32_t place = shared_place(&s.sums[(part * kTileTokens + token) * cut.tiles * kTileRows + row]);
  send(place_in_block(place, 0), place_in_block(shared_place(&s.sums_there), 0), sum);
}

// Nothing waits for the atomics.
__device__ __forceinline__ void add_load(const RouteLayer& p, int expert, int pairs) {
  auto* const load = reinterpret_cast<unsigned long long*>(p.load);
  atomicAdd(load + expert, static_cast<unsigned long long>(pairs));
  atomicAdd(load + p.route.config.n_experts + expert, 1ull);
}

__device__ __forceinline__ void count_to_places(const RouteLayer& p, Counts& c) {
  const int lane = threadIdx.x % kWarp, n_experts = p.route.config.n_experts;
  for (int e = threadIdx.x; e < n_experts; e += kThreads) {
    int all = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const int mine = c.of_warp[w][e];
      c.of_warp[w][e] = all;
      all += mine;
    }
    c.first[e] = all;
    if (p.load != nullptr && all > 0) add_load(p, e, all);
  }
  __syncthreads();
  if (threadIdx.x < kWarp) {
    int before = 0;
    for (int first = 0; first < n_experts; first += kWarp) {
      const int e = first + lane, mine = e < n_experts ? c.first[e] : 0;
      const int through = warp_prefix(mine);
      if (e < n_experts) c.first[e] = p.offsets[e] = before + through - mine;
      before += __shfl_sync(kAllLanes, through, kWarp - 1);
    }
    if (lane == 0) p.offsets[n_experts] = before;
  }
  __syncthreads();
}

// ids: shared memory.
__device__ __forceinline__ void group_pairs(const RouteLayer& p, const int32_t* ids, Counts& c) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int n = static_cast<int>(p.route.n) * p.route.config.top_k;
  const int each = (n + kThreads - 1) / kThreads * kWarp, begin = warp * each;  // pairs of a warp
  for (int e = lane; e < p.route.config.n_experts; e += kWarp) c.of_warp[warp][e] = 0;
  int id[kPairsOfLane], place[kPairsOfLane];
#pragma unroll
  for (int i = 0; i < kPairsOfLane; ++i) {
    const int at = begin + i * kWarp + lane;
    id[i] = i * kWarp < each && at < n ? ids[at] : -1;
    const unsigned same = __match_any_sync(kAllLanes, id[i]), below = (1u << lane) - 1;
    __syncwarp();
    place[i] = id[i] >= 0 ? c.of_warp[warp][id[i]] + __popc(same & below) : 0;
    __syncwarp();
    if (id[i] >= 0 && (same & below) == 0) c.of_warp[warp][id[i]] += __popc(same);
  }
  __syncthreads();
  count_to_places(p, c);
#pragma unroll
  for (int i = 0; i < kPairsOfLane; ++i) {
    if (id[i] >= 0) p.pairs[c.first[id[i]] + c.of_warp[warp][id[i]] + place[i]] = begin + i * kWarp + lane;
  }
}

// Counts ids below `id`, and ids equal to it among the first `end`. Reads fours; padding is -1.
struct Count {
  int below = 0, equal = 0;
  __device__ __forceinline__ Count(const int4* ids, int fours, int id, int end) {
    const auto take = [&](int other, int at) {
      below += static_cast<unsigned>(other) < static_cast<unsigned>(id) ? 1 : 0;
      equal += other == id && at < end ? 1 : 0;
    };
#pragma unroll 2
    for (int i = 0; i < fours; ++i) {
      const int4 four = ids[i];
      take(four.x, 4 * i), take(four.y, 4 * i + 1), take(four.z, 4 * i + 2), take(four.w, 4 * i + 3);
    }
  }
};

// The same for few pairs: every expert and pair counts the ids before it, without waiting. The last threads do it,
// since the first warps compute routing weights.
__device__ __forceinline__ void group_few_pairs(const RouteLayer& p, const int32_t* ids, int n) {
  static_assert(kRouteExpertsMax <= kGrouping && kGrouping + kFewPairs <= kThreads && kFewPairs % kWarp == 0);
  const auto* const fours = reinterpret_cast<const int4*>(ids);
  const int n_fours = (n + 3) / 4, e = static_cast<int>(threadIdx.x) - (kThreads - kGrouping), pair = e + kFewPairs;
  if (e >= 0 && e < p.route.config.n_experts) {
    const Count count(fours, n_fours, e, n);
    p.offsets[e] = count.below;
    if (e == p.route.config.n_experts - 1) p.offsets[e + 1] = count.below + count.equal;
    if (p.load != nullptr && count.equal > 0) add_load(p, e, count.equal);
  } else if (e < 0 && pair >= 0 && pair < n && ids[pair] >= 0) {
    const Count count(fours, n_fours, ids[pair], pair);
    p.pairs[count.below + count.equal] = pair;
  }
}

// Copies the bias, or zeros, to the first block's shared memory. To be awaited with wait_groups().
__device__ __forceinline__ void fetch_bias(const RouteLayer& p, RoutingSpace& s) {
  const int e = static_cast<int>(threadIdx.x);
  if (e >= p.route.config.n_experts) return;
  if (p.router_bias == nullptr) {
    s.bias[e] = 0;
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_place(s.bias + e)), "l"(p.router_bias + e)
                 : "memory");
  }
}

// A cluster's tokens, and the id of this warp's one.
struct TokenGroup {
  int first, n;
  int32_t token;
};

// The first block, once all sums have arrived.
template <routing::RouteFn kRoute>
__device__ __forceinline__ void route_tokens(const RouteLayer& p, const Cut& cut, const TokenGroup& group,
                                             RoutingSpace& s) {
  const int first = group.first, n = group.n;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int top_k = p.route.config.top_k, n_experts = p.route.config.n_experts, all = static_cast<int>(p.route.n);
  const int rows = cut.tiles * kTileRows;
  if (warp == kWarps - 1) {  // it has a token of its own least often
    if (lane < n && p.gate_weights != nullptr) {
      float sum = 0;
#pragma unroll 1
      for (int i = 0; i < cut.parts; ++i) sum += s.sums[(i * kTileTokens + lane) * rows + n_experts];
      p.gate_weights[first + lane] = routing::sigmoid(sum);
    }
    if (lane < 3) s.ids[n * top_k + lane] = -1;  // the last four may not be whole
    __syncwarp();
  }
  Choice choice;
  if (warp < n) {
    choice = choose_by_warp<kRoute>(n_experts, top_k, {s.sums + warp * rows, cut.parts, kTileTokens * rows, s.bias});
    if (group.token < 0) choice = {};
    if (lane < top_k) {
      s.ids[warp * top_k + lane] = choice.id;
      p.route.ids[(first + warp) * top_k + lane] = choice.id;
    }
  }
  const bool last = p.groups && is_last(p.counters, gridDim.y);
  const bool few = p.groups && gridDim.y == 1 && all * top_k <= kFewPairs;
  if (few) group_few_pairs(p, s.ids, all * top_k);
  if (warp < n) {
    const float weight = weight_of<kRoute>(p.route.config, choice);
    if (lane < top_k) p.route.weights[(first + warp) * top_k + lane] = weight;
  }
  if (few || !last) return;
  for (int i = threadIdx.x; gridDim.y > 1 && i < all * top_k; i += kThreads) s.ids[i] = __ldcg(p.route.ids + i);
  __syncthreads();
  group_pairs(p, s.ids, s.counts);
}

// Number: the type of router and gate.
template <routing::RouteFn kRoute, typename Number>
__global__ void __launch_bounds__(kThreads, 2) route_layer_kernel(const __grid_constant__ RouteLayer p, Cut cut) {
  __shared__ RoutingSpace s;
  const int rank = rank_in_cluster(), part = rank & (cut.parts - 1);
  const int first_tile = rank >> cut.log_parts, tile_step = static_cast<int>(gridDim.x) >> cut.log_parts;
  const int first = static_cast<int>(blockIdx.y) * kRouteGroup;
  const int n = min(kRouteGroup, static_cast<int>(p.route.n) - first);
  const int warp = threadIdx.x / kWarp, at = static_cast<int>(threadIdx.x);
  if (rank == 0 && at == 0) {
    barrier_init(&s.sums_there, 1);
    publish_barriers();
    barrier_expect(&s.sums_there, cut.tiles * cut.parts * kTileRows * n * sizeof(float));
  }
  __syncwarp();
  cluster_arrive();
  prefetch_weights<Number>(p, cut, first_tile, tile_step, part);
  if (rank == 0) fetch_bias(p, s);
  const EarlyInputs inputs(p, Turns<__nv_bfloat16>(p, cut, 0, part), 0, n, at);  // in f32 not needed
#pragma unroll 1
  for (int tile = first_tile;;) {
    const EarlyWeights early = fetch_early(Turns<Number>(p, cut, tile, part));
    if (tile == first_tile) {
      end_group();
      wait_groups<0>();
      cluster_wait();  // the first block's barrier is there
      wait_for_input();
      if (tile >= cut.tiles) break;
    }
    multiply_tile<Number>({p, cut, tile, part, n}, early, inputs, s.shares);
    send_sums(cut, tile, part, n, s);
    tile += tile_step;
    if (tile >= cut.tiles) break;
    __syncthreads();  // the shares are read
  }
  if (rank != 0) return;
  const int32_t token = warp < n ? p.route.tokens[first + warp] : -1;
  wait_for_cluster(&s.sums_there, 0);
  route_tokens<kRoute>(p, cut, {first, n, token}, s);
}

template <routing::RouteFn kRoute>
void launch_layer(const RouteLayer& p, cudaStream_t stream) {
  const int64_t rows = p.route.config.n_experts + (p.gate.data != nullptr ? 1 : 0);
  Cut cut{static_cast<int>(ceil_div(rows, kTileRows)), 1};
  int blocks = 1;  // a power of two: no other cluster has been tried
  while (blocks < cut.tiles && blocks < kBlocksMost) blocks *= 2;
  for (; 2 * blocks <= kBlocksMost && cut.parts * kWarps * kTurn < p.x.cols; blocks *= 2)
    cut.parts *= 2, ++cut.log_parts;
  cut.turns = static_cast<int>(min(ceil_div(p.x.cols, cut.parts * kWarps * kTurn), int64_t{kAhead}));
  blocks = max(blocks, 2);  // stores into shared memory that count bytes are a cluster's
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(p.route.n, kRouteGroup)));
  const auto kernel =
      p.router.type == Type::kBf16 ? route_layer_kernel<kRoute, __nv_bfloat16> : route_layer_kernel<kRoute, float>;
  launch_after(kernel, {grid, dim3(kThreads), 0, stream, grid.x}, p, cut);
}

template <routing::RouteFn kRoute>
constexpr RouteKernels kernels_of() {
  if constexpr (kTakesBestLogits<kRoute>) return {kRoute, launch_route<kRoute>, launch_layer<kRoute>};
  return {kRoute, launch_route<kRoute>, nullptr};
}
template <size_t... kIndices>
constexpr std::array<RouteKernels, sizeof...(kIndices)> all_kernels(std::index_sequence<kIndices...>) {
  return {kernels_of<routing::kRouters[kIndices].route>()...};
}
constexpr auto kKernels = all_kernels(std::make_index_sequence<routing::kRouters.size()>());

}  // namespace

const RouteKernels& route_kernels(routing::RouteFn router) {
  size_t i = 0;
  while (kKernels[i].router != router) ++i;
  return kKernels[i];
}

}  // namespace polymath::backend::cuda
