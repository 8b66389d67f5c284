// A product of few rows with a bf16 weight: bound by the weight's bytes, and short enough that its start counts.
//
// A block has 16 rows of the weight and all of x; its eight warps share the inputs between them, 64 a turn. The first
// turns' weights are on their way before the block waits for what x is: they are nobody's output. A weight of few rows
// is cut along its inputs too: the blocks of a cluster share its rows, and the first of them adds up. Which inputs a
// lane holds is free, as in experts_narrow.cu.
//
// The experts of a single token are the same work: of the first product the rows of all chosen experts stand one behind
// the other, of the second their inputs do, so that its sum over inputs is the sum over experts too.

#include <cooperative_groups.h>

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;
constexpr int kRows = 16;   // of the weight
constexpr int kTokens = 8;  // of a tile of x
constexpr int kTurn = 64;   // inputs of a warp's turn: two words of 16 bytes a lane and row
constexpr int kAhead = 2;   // turns whose weights are in flight

struct Words {
  uint4 low[kAhead][2], high[kAhead][2];  // rows lane / 4 and lane / 4 + 8
};

__device__ __forceinline__ int64_t row_block(const NarrowProduct& p) { return blockIdx.x / p.parts; }

// The weight row that is row `i` of the block's sixteen: of a gated one, eight of the gate and the same eight of up.
// -1: behind the last.
__device__ __forceinline__ int64_t weight_row(const NarrowProduct& p, int i) {
  if (p.gated) {
    const int64_t inner = p.w.rows / 2, index = row_block(p) * (kRows / 2) + i % 8;
    return index < inner ? index + (i >= 8 ? inner : 0) : -1;
  }
  const int64_t row = row_block(p) * kRows + i;
  return row < p.w.rows ? row : -1;
}

enum class Form { kLinear, kExpertsFirst, kExpertsSecond };

// Where a turn's weights and inputs stand; weights null: behind the last, or of no expert.
struct Turn {
  const __nv_bfloat16* weights;
  int64_t x_row, k;
};

// experts: in shared memory.
template <Form kForm>
__device__ __forceinline__ Turn turn_of(const NarrowProduct& p, const int32_t* experts, int turn) {
  const auto* data = static_cast<const __nv_bfloat16*>(p.w.data);
  if constexpr (kForm == Form::kLinear) return {data, 0, static_cast<int64_t>(turn) * kTurn};
  const int turns = static_cast<int>((p.w.stride + kTurn - 1) / kTurn);
  const int choice = kForm == Form::kExpertsSecond ? turn / turns : 0;
  const int expert = kForm == Form::kExpertsFirst || choice < p.n_choices ? experts[choice] : -1;
  return {expert >= 0 ? data + expert * p.w.rows * p.w.stride : nullptr, choice,
          static_cast<int64_t>(turn - choice * turns) * kTurn};
}

template <Form kForm>
__device__ __forceinline__ void fetch(const NarrowProduct& p, const int32_t* experts, int turn, Words& words) {
  const int lane = threadIdx.x % kWarp;
  const int64_t row = weight_row(p, lane / 4), row_high = weight_row(p, lane / 4 + 8);
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const Turn at = turn_of<kForm>(p, experts, turn + i * p.parts * kWarps);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t k = at.k + half * (kTurn / 2) + lane % 4 * 8;
      const bool inside = at.weights != nullptr && k < p.w.stride;
      const uint4 zero = make_uint4(0, 0, 0, 0);
      const auto word = [&](int64_t r) {
        return __ldcs(reinterpret_cast<const uint4*>(at.weights + r * p.w.stride + k));
      };
      words.low[i][half] = inside && row >= 0 ? word(row) : zero;
      words.high[i][half] = inside && row_high >= 0 ? word(row_high) : zero;
    }
  }
}

template <int kTiles, Form kForm>
__device__ __forceinline__ void multiply(const NarrowProduct& p, const int32_t* experts, int turn, const Words& words,
                                         float (&sums)[kTiles][4]) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const Turn at = turn_of<kForm>(p, experts, turn + i * p.parts * kWarps);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t k = at.k + half * (kTurn / 2) + lane % 4 * 8;
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const int64_t token = t * kTokens + lane / 4, row = kForm == Form::kLinear ? token : at.x_row;
        const bool there = kForm == Form::kLinear ? token < p.x.rows : token == 0 && at.weights != nullptr;
        uint4 x = make_uint4(0, 0, 0, 0);
        if (k < p.x.cols && there) {
          x = *reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(p.x.data) + row * p.x.stride + k);
        }
        const uint4 &a = words.low[i][half], &b = words.high[i][half];
        mma_bf16(sums[t], a.x, b.x, a.y, b.y, x.x, x.y);
        mma_bf16(sums[t], a.z, b.z, a.w, b.w, x.z, x.w);
      }
    }
  }
}

// The end of two sums that a lane holds for one token: rows i and i + 8 of the block's sixteen.
template <Form kForm>
__device__ __forceinline__ void finish(const NarrowProduct& p, int64_t token, int i, float low, float high) {
  if (token >= (kForm == Form::kLinear ? p.x.rows : 1)) return;
  if (p.gated) {
    const int64_t index = row_block(p) * (kRows / 2) + i, to = kForm == Form::kLinear ? token : blockIdx.y;
    if (index >= p.y.cols) return;
    const float factor = p.factors != nullptr ? p.factors[to] : 1.0f;
    put(p.y, to, index, index < p.w.rows / 2 ? factor * glu_value(p.glu, low, high) : 0.0f);
    return;
  }
  const LinearEpilogue& e = p.epilogue;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = weight_row(p, i + 8 * half);
    if (row < 0) continue;
    float v = (half == 0 ? low : high) + (e.bias != nullptr ? e.bias[row] : 0.0f);
    if (e.clamp > 0) v = v < -e.clamp ? -e.clamp : v > e.clamp ? e.clamp : v;
    v *= e.scale;
    put(p.y, token, row, e.accumulate ? at(p.y, token, row) + v : v);
  }
}

__device__ __forceinline__ float4 add(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

template <int kTiles, Form kForm>
__global__ void __launch_bounds__(kThreads, kTiles == 1 ? 3 : 2) linear_narrow_kernel(NarrowProduct p) {
  __shared__ float4 shares[kWarps][kTiles][kWarp];
  __shared__ int32_t experts[kLinearNarrowChoicesMax];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Words words;
  const int part = static_cast<int>(blockIdx.x) % p.parts;
  int turn = part * kWarps + warp, turns = static_cast<int>((p.w.stride + kTurn - 1) / kTurn);
  if constexpr (kForm == Form::kExpertsFirst) {  // the launch before chose the experts
    wait_for_input();
    if (threadIdx.x == 0) experts[0] = p.experts[blockIdx.y];
    __syncthreads();
  }
  if constexpr (kForm == Form::kExpertsSecond) {
    turns *= p.n_choices;
    if (static_cast<int>(threadIdx.x) < p.n_choices) experts[threadIdx.x] = p.experts[threadIdx.x];
    __syncthreads();
  }
  fetch<kForm>(p, experts, turn, words);
  if constexpr (kForm != Form::kExpertsFirst) wait_for_input();
  let_next_begin();
  float sums[kTiles][4] = {};
  for (;;) {
    multiply<kTiles, kForm>(p, experts, turn, words, sums);
    turn += kAhead * p.parts * kWarps;
    if (turn >= turns) break;
    fetch<kForm>(p, experts, turn, words);
  }
#pragma unroll
  for (int t = 0; t < kTiles; ++t) shares[warp][t][lane] = make_float4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
  __syncthreads();
  float4 sum = make_float4(0, 0, 0, 0);
  for (int w = 0; w < kWarps && warp < kTiles; ++w) sum = add(sum, shares[w][warp][lane]);
  if (p.parts > 1) {  // to the first block of the cluster, into places that nobody reads any more
    const auto cluster = cooperative_groups::this_cluster();
    cluster.sync();
    if (warp < kTiles) cluster.map_shared_rank(&shares[part][warp][lane], 0)[0] = sum;
    cluster.sync();
    if (part > 0) return;
    sum = make_float4(0, 0, 0, 0);
    for (int i = 0; i < p.parts && warp < kTiles; ++i) sum = add(sum, shares[i][warp][lane]);
  }
  if (warp >= kTiles) return;
  const int64_t token = warp * kTokens + lane % 4 * 2;
  finish<kForm>(p, token, lane / 4, sum.x, sum.z);
  finish<kForm>(p, token + 1, lane / 4, sum.y, sum.w);
}

}  // namespace

void linear_narrow(NarrowProduct p, int n_multiprocessors, cudaStream_t stream) {
  if (p.x.rows == 0) return;
  const bool first = p.experts != nullptr && p.gated;
  const unsigned across = first ? static_cast<unsigned>(p.n_choices) : 1;
  const int64_t blocks = p.gated ? ceil_div(p.y.cols, kRows / 2) : ceil_div(p.w.rows, kRows);
  constexpr int kPartsMax = 4, kBlocksAnSm = 3;
  p.parts = 1;
  while (p.parts < kPartsMax &&
         2 * p.parts * blocks * across <= kBlocksAnSm * static_cast<int64_t>(n_multiprocessors)) {
    p.parts *= 2;
  }
  const auto parts = static_cast<unsigned>(p.parts);
  const dim3 grid(static_cast<unsigned>(blocks) * parts, across);
  const auto launch = [&](void (*kernel)(NarrowProduct)) {
    launch_clusters_after(parts, kernel, grid, dim3(kThreads), 0, stream, p);
  };
  if (first) return launch(linear_narrow_kernel<1, Form::kExpertsFirst>);
  if (p.experts != nullptr) return launch(linear_narrow_kernel<1, Form::kExpertsSecond>);
  launch(p.x.rows <= kTokens ? linear_narrow_kernel<1, Form::kLinear> : linear_narrow_kernel<2, Form::kLinear>);
}

}  // namespace polymath::backend::cuda
