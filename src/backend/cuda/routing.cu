// The routing functions of routing/<name>.h, a warp a row. What most of them spend their time on, the k best logits, is
// found by the whole warp; whatever a warp has no form for is routed by one thread with the function itself
// (ROW_SCRATCH).
//
// For few tokens, one kernel does all of a layer's routing: the blocks of a cluster multiply the router with sixteen
// tokens, the first of them adds up and routes them, and the last cluster's groups the pairs by expert.

#include <cooperative_groups.h>

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "routing/hash.h"
#include "routing/sigmoid_group_topk.h"
#include "routing/sigmoid_topk.h"
#include "routing/softmax_bias_topk.h"
#include "routing/softmax_group_topk.h"
#include "routing/softmax_topk.h"
#include "routing/sparsemixer.h"
#include "routing/switch_top1.h"
#include "routing/topk_softmax.h"

namespace polymath::backend::cuda {
namespace {

enum class Kind {
  kSoftmaxTopk,
  kTopkSoftmax,
  kSoftmaxGroupTopk,
  kSigmoidGroupTopk,
  kSoftmaxBiasTopk,
  kSigmoidTopk,
  kSparsemixer,
  kSwitchTop1,
  kHash,
  kCount,
};

template <Kind kKind>
__device__ void route_row(const routing::RouterConfig& c, const float* logits, const float* bias, int32_t token,
                          int32_t* ids, float* weights) {
  if constexpr (kKind == Kind::kSoftmaxTopk) routing::softmax_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kTopkSoftmax) routing::topk_softmax(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSoftmaxGroupTopk) routing::softmax_group_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSigmoidGroupTopk) routing::sigmoid_group_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSoftmaxBiasTopk) routing::softmax_bias_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSigmoidTopk) routing::sigmoid_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSparsemixer) routing::sparsemixer(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSwitchTop1) routing::switch_top1(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kHash) routing::hash(c, logits, bias, token, ids, weights);
}

constexpr bool chooses_best_logits(Kind kind) {
  return kind == Kind::kSoftmaxTopk || kind == Kind::kTopkSoftmax || kind == Kind::kSigmoidTopk;
}
constexpr int kLaneLogits = kRouteExpertsMax / kWarp;  // wider rows are one thread's

// Numbers in the order of their floats, for the warp's reduction of integers; none is 0. The zeros are one number.
__device__ __forceinline__ unsigned order_of(float v) {
  const unsigned bits = __float_as_uint(v + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float float_of(unsigned order) {
  return __uint_as_float(order >> 31 != 0 ? order & 0x7fffffffu : ~order);
}

// The best of what is not taken yet, the lowest id among equals.
__device__ __forceinline__ int best_of_warp(const float (&mine)[kLaneLogits], unsigned& taken, float& best) {
  const int lane = threadIdx.x % kWarp;
  unsigned order = 0;
  int id = routing::kExpertsMax;
#pragma unroll
  for (int i = 0; i < kLaneLogits; ++i) {
    const unsigned other = order_of(mine[i]);
    if ((taken >> i & 1u) == 0 && other > order) order = other, id = lane + i * kWarp;
  }
  const unsigned highest = __reduce_max_sync(kAllLanes, order);
  id = __reduce_min_sync(kAllLanes, order == highest ? id : routing::kExpertsMax);
  best = float_of(highest);
  if (id % kWarp == lane) taken |= 1u << (id / kWarp);
  return id;
}

template <Kind kKind>
__device__ void route_by_warp(const RouteProblem& p, const float* row, int32_t* ids, float* weights, int32_t* copy) {
  const int lane = threadIdx.x % kWarp, n = p.config.n_experts;
  float mine[kLaneLogits], max = -INFINITY, sum = 0;
  unsigned taken = 0;
  bool nan = false;
#pragma unroll
  for (int i = 0; i < kLaneLogits; ++i) {
    const int e = lane + i * kWarp;
    mine[i] = e < n ? row[e] : -INFINITY;
    if (e >= n) taken |= 1u << i;
    nan = nan || isnan(mine[i]);
    max = fmaxf(max, mine[i]);
  }
  max = warp_max(max);
  if (__any_sync(kAllLanes, nan) || max == -INFINITY || (max == INFINITY && kKind != Kind::kSigmoidTopk)) {
    if (lane == 0) routing::route_broken_row(p.config.top_k, ids, weights);
    for (int j = lane; j < p.config.top_k && copy != nullptr; j += kWarp) copy[j] = j;
    return;
  }
  if (kKind == Kind::kSoftmaxTopk) {
#pragma unroll
    for (int i = 0; i < kLaneLogits; ++i) sum += expf(mine[i] - max);  // what is no expert is -infinity
    sum = warp_sum(sum);
  }
  // Choice j stays with lane j: in memory, every step of what follows would wait for the one before.
  int id = 0;
  float weight = 0;
  for (int j = 0; j < p.config.top_k; ++j) {
    float best = 0;
    const int chosen = best_of_warp(mine, taken, best);
    if (lane == j) {
      id = chosen;
      weight = kKind == Kind::kSigmoidTopk ? routing::sigmoid(best) : expf(best - max);
    }
  }
  if (kKind == Kind::kTopkSoftmax) sum = warp_sum(weight);
  if (kKind != Kind::kSigmoidTopk) weight /= sum;
  if (kKind != Kind::kTopkSoftmax && p.config.normalize) {  // as routing::normalize_weights
    const float all = warp_sum(weight) + p.config.normalize_eps;
    const float divisor = all > p.config.normalize_min ? all : p.config.normalize_min;
    if (divisor != 0) weight /= divisor;
  }
  if (lane >= p.config.top_k) return;
  ids[lane] = id;
  weights[lane] = weight * p.config.weight_scale;
  if (copy != nullptr) copy[lane] = id;
}

// Row i of the choices, of a token, from its logits; by one warp. The ids go to `copy` too, unless it is null.
template <Kind kKind>
__device__ void route_one(const RouteProblem& p, const float* row, int64_t i, int32_t token, int32_t* copy = nullptr) {
  const int lane = threadIdx.x % kWarp;
  int32_t* ids = p.ids + i * p.config.top_k;
  float* weights = p.weights + i * p.config.top_k;
  if (token < 0) {  // a row that only fills the step up
    for (int j = lane; j < p.config.top_k; j += kWarp) {
      ids[j] = -1, weights[j] = 0;
      if (copy != nullptr) copy[j] = -1;
    }
  } else if (chooses_best_logits(kKind) && p.config.n_experts <= kRouteExpertsMax && p.config.top_k <= kRouteTopKMax) {
    if constexpr (chooses_best_logits(kKind)) route_by_warp<kKind>(p, row, ids, weights, copy);
  } else if (lane == 0) {
    route_row<kKind>(p.config, row, p.bias, token, ids, weights);
  }
}

// One warp a block: ROW_SCRATCH is the block's.
template <Kind kKind>
__global__ void route_kernel(RouteProblem p) {
  wait_for_input();
  route_one<kKind>(p, p.logits + blockIdx.x * p.stride, blockIdx.x, p.tokens[blockIdx.x]);
}

template <Kind kKind>
void launch_route(const RouteProblem& p, cudaStream_t stream) {
  if (p.n > 0) launch_after(route_kernel<kKind>, dim3(static_cast<unsigned>(p.n)), dim3(kWarp), 0, stream, p);
}

// --- a whole layer's routing ---

constexpr int kThreads = 512, kWarps = kThreads / kWarp;
constexpr int kBlocksMost = 8;            // of a cluster: what every card has
constexpr int kTileRows = 16;             // of the router
constexpr int kTileTokens = kRouteGroup;  // two tiles of a product's eight columns
constexpr int kTileSums = kTileRows * kTileTokens;
constexpr int kTilesMost = kRouteExpertsMax / kTileRows + 1;  // of the experts and a gate
constexpr int kTurn = 32;                                     // inputs of a warp's turn: eight a lane and row
constexpr int kAhead = 4;                                     // turns whose weights are in flight
constexpr int kPairsOfLane = kRoutePairsMax / kThreads;

// How a cluster's blocks share the router: tile by tile, and the inputs of a tile in parts. More than one tile a block:
// one part.
struct Cut {
  int tiles = 1, parts = 1;
};

// Row `r` of a tile: the experts', then the gate; null: behind them.
__device__ __forceinline__ const float* router_row(const RouteExperts& p, int tile, int r) {
  const int row = tile * kTileRows + r;
  if (row < p.route.config.n_experts) return static_cast<const float*>(p.router.data) + row * p.router.stride;
  return row == p.route.config.n_experts ? static_cast<const float*>(p.gate.data) : nullptr;
}

// Eight numbers of rows lane / 4 and lane / 4 + 8 of the block's; null rows: zeros.
struct TurnWeights {
  float4 row[2][2];
  __device__ __forceinline__ TurnWeights(const float* low, const float* high, int k, int cols) {
    const float* const rows[2] = {low, high};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      row[i / 2][i % 2] = make_float4(0, 0, 0, 0);
      if (rows[i / 2] == nullptr || k >= cols) continue;
      row[i / 2][i % 2] = *reinterpret_cast<const float4*>(rows[i / 2] + k + i % 2 * 4);
    }
  }
};

// The same in bf16, as the products want them.
struct TurnWords {
  uint32_t a[2][4];
};

// The two numbers as a bf16 pair; they keep what it has not.
__device__ __forceinline__ uint32_t take_bf16(float& a, float& b) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
  a -= __bfloat162float(pair.x);
  b -= __bfloat162float(pair.y);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ __forceinline__ TurnWords take_words(TurnWeights& w) {
  TurnWords words;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float4 &low = w.row[0][i], &high = w.row[1][i];
    words.a[i][0] = take_bf16(low.x, low.y), words.a[i][1] = take_bf16(high.x, high.y);
    words.a[i][2] = take_bf16(low.z, low.w), words.a[i][3] = take_bf16(high.z, high.w);
  }
  return words;
}
__device__ __forceinline__ bool all_zero(const TurnWeights& w) {
  bool zero = true;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float4& v = w.row[i / 2][i % 2];
    zero = zero && v.x == 0 && v.y == 0 && v.z == 0 && v.w == 0;
  }
  return zero;
}

struct TurnTokens {
  uint4 tile[2];
  // x: of token lane / 4 of the block's n.
  __device__ __forceinline__ TurnTokens(const RouteExperts& p, const __nv_bfloat16* x, int n, int k) {
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      tile[t] = make_uint4(0, 0, 0, 0);
      if (k >= p.x.cols || t * 8 + static_cast<int>(threadIdx.x) % kWarp / 4 >= n) continue;
      tile[t] = *reinterpret_cast<const uint4*>(x + t * 8 * p.x.stride + k);
    }
  }
};

__device__ __forceinline__ void multiply_turn(const TurnWords& w, const TurnTokens& x, float (&sums)[2][4]) {
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    mma_bf16(sums[t], w.a[0][0], w.a[0][1], w.a[0][2], w.a[0][3], x.tile[t].x, x.tile[t].y);
    mma_bf16(sums[t], w.a[1][0], w.a[1][1], w.a[1][2], w.a[1][3], x.tile[t].z, x.tile[t].w);
  }
}

// A part of a tile of the router times the tokens [first, first + n): the warps share the inputs between them. A
// router's numbers are mostly bf16 kept in f32: one product does. Where some are not, what bf16 lacks of the weights is
// multiplied afterwards, in two bf16 more: that is all of their 24 bits.
__device__ __forceinline__ void multiply_tile(const RouteExperts& p, int tile, int part, int parts, int first, int n,
                                              float (*shares)[kTileSums]) {
  const int step = parts * kWarps * kTurn;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, cols = static_cast<int>(p.x.cols);
  const float *low = router_row(p, tile, lane / 4), *high = router_row(p, tile, lane / 4 + 8);
  const int begin = (part * kWarps + warp) * kTurn + lane % 4 * 8;
  bool exact = true;
  const auto words_of = [&](TurnWeights w) {
    const TurnWords words = take_words(w);
    exact = exact && all_zero(w);
    return words;
  };
  const auto fetch = [&](int k) { return TurnWeights(low, high, k, cols); };
  // Nobody's output: before the wait.
  const TurnWeights early[kAhead] = {fetch(begin), fetch(begin + step), fetch(begin + 2 * step),
                                     fetch(begin + 3 * step)};
  wait_for_input();
  let_next_begin();
  const auto* x = static_cast<const __nv_bfloat16*>(p.x.data) + (first + lane / 4) * p.x.stride;
  float sums[2][4] = {};
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const int k = begin + i * step;
    if (k - lane % 4 * 8 < cols) multiply_turn(words_of(early[i]), {p, x, n, k}, sums);
  }
  for (int k = begin + kAhead * step; k - begin < cols; k += step)
    multiply_turn(words_of(fetch(k)), {p, x, n, k}, sums);
  if (__any_sync(kAllLanes, !exact)) {
    for (int k = begin; k - begin < cols; k += step) {
      TurnWeights w(low, high, k, cols);
      const TurnTokens tokens(p, x, n, k);
      take_words(w);
      multiply_turn(take_words(w), tokens, sums);
      multiply_turn(take_words(w), tokens, sums);
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) shares[warp][i * kWarp + lane] = sums[i / 4][i % 4];
  __syncthreads();
}

// The logits of the cluster's tokens from all parts of all tiles, and the gate's as weights.
__device__ __forceinline__ void add_up(const RouteExperts& p, const Cut& cut, int first, int n,
                                       const float (*sums)[kTileSums], float (*logits)[kRouteExpertsMax]) {
  for (int i = threadIdx.x; i < cut.tiles * kTileSums; i += kThreads) {
    const int tile = i / kTileSums, at = i % kTileSums, lane = at % kWarp, j = at / kWarp;
    const int token = j / 4 * 8 + lane % 4 * 2 + j % 2, row = tile * kTileRows + lane / 4 + j / 2 % 2 * 8;
    float sum = 0;
    for (int part = 0; part < cut.parts; ++part) sum += sums[tile * cut.parts + part][at];
    if (token >= n) continue;
    if (row < p.route.config.n_experts) {
      logits[token][row] = sum + (p.router_bias != nullptr ? p.router_bias[row] : 0.0f);
    } else if (row == p.route.config.n_experts && p.gate_weights != nullptr) {
      p.gate_weights[first + token] = routing::sigmoid(sum);
    }
  }
  __syncthreads();
}

// True in one of `n` blocks, when all others are here; what they wrote can then be read past the L1 cache.
__device__ __forceinline__ bool is_last(unsigned* counter, unsigned n) {
  __shared__ bool last;
  if (n > 1) __threadfence();
  __syncthreads();
  if (n == 1) return true;
  if (threadIdx.x == 0) last = atomicInc(counter, n - 1) == n - 1;  // zero again for the next launch
  __syncthreads();
  __threadfence();
  return last;
}

// As group_kernel does it, by one block: each warp counts the experts of a run of pairs, and then its pairs stand
// behind those of the warps before.
struct Counts {
  int of_warp[kWarps][kRouteExpertsMax];
  int first[kRouteExpertsMax + 1];  // pairs of each expert, then its first place
};

__device__ __forceinline__ void count_to_places(const RouteExperts& p, Counts& c) {
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
    // An atomic is not waited for.
    if (p.load != nullptr)
      atomicAdd(reinterpret_cast<unsigned long long*>(p.load + e), static_cast<unsigned long long>(all));
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

// ids: in shared memory.
__device__ __forceinline__ void group_pairs(const RouteExperts& p, const int32_t* ids, Counts& c) {
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

struct RoutingSpace {
  union {
    float shares[kWarps][kTileSums];              // of a tile, a warp's each
    float logits[kTileTokens][kRouteExpertsMax];  // afterwards
  };
  union {
    float sums[kTilesMost][kTileSums];  // of all tiles, in the cluster's first block
    Counts counts;                      // afterwards
  };
  int32_t ids[kRoutePairsMax];
};

template <Kind kKind>
__global__ void __launch_bounds__(kThreads, 1) route_experts_kernel(RouteExperts p, Cut cut) {
  __shared__ RoutingSpace s;
  const auto cluster = cooperative_groups::this_cluster();
  const int rank = static_cast<int>(cluster.block_rank()), part = rank % cut.parts;
  const int top_k = p.route.config.top_k, all = static_cast<int>(p.route.n);
  const int first = static_cast<int>(blockIdx.y) * kRouteGroup, n = min(kRouteGroup, all - first);
  const int warp = threadIdx.x / kWarp, at = static_cast<int>(threadIdx.x);
  bool all_begun = false;  // the first block too: its memory is there
  cluster.barrier_arrive();
  for (int tile = rank / cut.parts; tile < cut.tiles; tile += static_cast<int>(gridDim.x) / cut.parts) {
    multiply_tile(p, tile, part, cut.parts, first, n, s.shares);
    if (!all_begun) cluster.barrier_wait();
    all_begun = true;
    if (at < kTileSums) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) sum += s.shares[w][at];
      *cluster.map_shared_rank(&s.sums[tile * cut.parts + part][at], 0) = sum;
    }
    __syncthreads();
  }
  if (!all_begun) cluster.barrier_wait();  // a block without a tile
  cluster.sync();
  if (rank != 0) return;
  add_up(p, cut, first, n, s.sums, s.logits);
  const int32_t token = warp < n ? p.route.tokens[first + warp] : -1;
  if (warp < n) route_one<kKind>(p.route, s.logits[warp], first + warp, token, s.ids + warp * top_k);
  if (!is_last(p.counters, gridDim.y)) return;
  for (int i = threadIdx.x; gridDim.y > 1 && i < all * top_k; i += kThreads) s.ids[i] = __ldcg(p.route.ids + i);
  __syncthreads();
  group_pairs(p, s.ids, s.counts);
}

template <Kind kKind>
void launch_experts(const RouteExperts& p, cudaStream_t stream) {
  const int64_t rows = p.route.config.n_experts + (p.gate.data != nullptr ? 1 : 0);
  Cut cut{static_cast<int>(ceil_div(rows, kTileRows)), 1};
  int blocks = 1;  // a power of two: no other cluster has been tried
  while (blocks < cut.tiles && blocks < kBlocksMost) blocks *= 2;
  for (; 2 * blocks <= kBlocksMost && cut.parts * kWarps * kTurn < p.x.cols; blocks *= 2) cut.parts *= 2;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(p.route.n, kRouteGroup)));
  launch_clusters_after(grid.x, route_experts_kernel<kKind>, grid, dim3(kThreads), 0, stream, p, cut);
}

template <Kind kKind>
constexpr RouteKernels kernels(const char* name) {
  if constexpr (chooses_best_logits(kKind)) return {name, launch_route<kKind>, launch_experts<kKind>};
  return {name, launch_route<kKind>, nullptr};
}
// In the order of routing/list.cpp.
constexpr RouteKernels kRows[] = {
    kernels<Kind::kSoftmaxTopk>("softmax_topk"),
    kernels<Kind::kTopkSoftmax>("topk_softmax"),
    kernels<Kind::kSoftmaxGroupTopk>("softmax_group_topk"),
    kernels<Kind::kSigmoidGroupTopk>("sigmoid_group_topk"),
    kernels<Kind::kSoftmaxBiasTopk>("softmax_bias_topk"),
    kernels<Kind::kSigmoidTopk>("sigmoid_topk"),
    kernels<Kind::kSparsemixer>("sparsemixer"),
    kernels<Kind::kSwitchTop1>("switch_top1"),
    kernels<Kind::kHash>("hash"),
};

}  // namespace

const RouteKernels* find_route(std::string_view name) {
  for (const RouteKernels& row : kRows) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

}  // namespace polymath::backend::cuda
