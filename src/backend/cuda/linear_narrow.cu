// A product of few rows with a bf16 weight: bound by the weight's bytes, and short enough that its start counts.
//
// A block has 16 rows of the weight and all of x; its eight warps share the inputs between them, 64 a turn. The first
// turns' weights are on their way before the block waits for what x is: they are nobody's output. A weight of few rows
// is cut along its inputs too: the blocks of a cluster share its rows, and the first of them adds up. Which inputs a
// lane holds is free, as in experts_narrow.cu.
//
// The experts of a single token are the same work: of the first product the rows of all chosen experts stand one behind
// the other, of the second their inputs do, so that its sum over inputs is the sum over experts too. A shared network
// is one more of them, as wide as it may be.

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

// A turn's words of a lane.
template <int kTiles>
struct Words {
  uint4 low[2], high[2];  // of the weight's rows lane / 4 and lane / 4 + 8
  uint4 x[kTiles][2];
};

enum class Form { kLinear, kExpertsFirst, kExpertsSecond };

// Which of a weight's blocks of rows the block has. Of the first product of experts it may be the shared network's.
struct Rows {
  int block = 0;
  bool shared = false;
};

template <Form kForm>
__device__ __forceinline__ Rows rows_of_block(const NarrowProduct& p) {
  const int block = static_cast<int>(blockIdx.x) / p.parts, before = static_cast<int>(blockIdx.y) - p.n_choices;
  if (kForm != Form::kExpertsFirst || before < 0) return {block, false};
  return {before * (static_cast<int>(gridDim.x) / p.parts) + block, true};
}
__device__ __forceinline__ const WeightMatrix& weight_of(const NarrowProduct& p, const Rows& rows) {
  return rows.shared ? p.shared_w : p.w;
}

// The weight row that is row `i` of the block's sixteen: of a gated one, eight of the gate and the same eight of up.
// -1: behind the last. An int, as everywhere here: a network has fewer numbers than 2^31.
__device__ __forceinline__ int weight_row(const NarrowProduct& p, const Rows& rows, int i) {
  const int n_rows = static_cast<int>(weight_of(p, rows).rows);
  if (p.gated) {
    const int inner = n_rows / 2, index = rows.block * (kRows / 2) + i % 8;
    return index < inner ? index + (i >= 8 ? inner : 0) : -1;
  }
  const int row = rows.block * kRows + i;
  return row < n_rows ? row : -1;
}

// Where a turn's weights and inputs stand; weights null: behind the last, or of no expert.
struct Turn {
  const __nv_bfloat16 *weights, *x;
  int stride, cols, k;  // of a row of the weights; of x; where the turn begins
};

// experts: in shared memory.
template <Form kForm>
__device__ __forceinline__ Turn turn_of(const NarrowProduct& p, const Rows& rows, const int32_t* experts, int turn) {
  const auto* data = static_cast<const __nv_bfloat16*>(p.w.data);
  const auto* x = static_cast<const __nv_bfloat16*>(p.x.data);
  const int stride = static_cast<int>(p.w.stride), cols = static_cast<int>(p.x.cols), k = turn * kTurn;
  if constexpr (kForm == Form::kLinear) return {data, x, stride, cols, k};
  const auto* shared = static_cast<const __nv_bfloat16*>(p.shared_w.data);
  const auto of_expert = [&](int expert) { return expert >= 0 ? data + expert * p.w.rows * p.w.stride : nullptr; };
  if constexpr (kForm == Form::kExpertsFirst) {  // both networks have x's columns; experts[0] is the block's
    return {rows.shared ? shared : of_expert(experts[0]), x, stride, cols, k};
  }
  const int turns = (stride + kTurn - 1) / kTurn, choice = turn / turns, from = k - choice * turns * kTurn;
  if (choice < p.n_choices) return {of_expert(experts[choice]), x + choice * p.x.stride, stride, cols, from};
  return {shared, static_cast<const __nv_bfloat16*>(p.shared_inner.data), static_cast<int>(p.shared_w.stride),
          static_cast<int>(p.shared_inner.cols), k - p.n_choices * turns * kTurn};
}

template <int kTiles, Form kForm>
__device__ __forceinline__ void fetch_weights(const NarrowProduct& p, const Rows& rows, const int32_t* experts,
                                              int turn, Words<kTiles>& words) {
  const int lane = threadIdx.x % kWarp;
  const int row = weight_row(p, rows, lane / 4), row_high = weight_row(p, rows, lane / 4 + 8);
  const Turn at = turn_of<kForm>(p, rows, experts, turn);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int k = at.k + half * (kTurn / 2) + lane % 4 * 8;
    const bool inside = at.weights != nullptr && k < at.stride;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    const auto word = [&](int r) { return __ldcs(reinterpret_cast<const uint4*>(at.weights + r * at.stride + k)); };
    words.low[half] = inside && row >= 0 ? word(row) : zero;
    words.high[half] = inside && row_high >= 0 ? word(row_high) : zero;
  }
}

template <int kTiles, Form kForm>
__device__ __forceinline__ void fetch_inputs(const NarrowProduct& p, const Rows& rows, const int32_t* experts, int turn,
                                             Words<kTiles>& words) {
  const int lane = threadIdx.x % kWarp;
  const Turn at = turn_of<kForm>(p, rows, experts, turn);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int k = at.k + half * (kTurn / 2) + lane % 4 * 8;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const int token = t * kTokens + lane / 4;
      const bool there = kForm == Form::kLinear ? token < p.x.rows : token == 0 && at.weights != nullptr;
      words.x[t][half] = make_uint4(0, 0, 0, 0);
      if (k < at.cols && there) {
        words.x[t][half] = *reinterpret_cast<const uint4*>(
            at.x + (kForm == Form::kLinear ? token * static_cast<int>(p.x.stride) : 0) + k);
      }
    }
  }
}

template <int kTiles>
__device__ __forceinline__ void multiply(const Words<kTiles>& words, float (&sums)[kTiles][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 &a = words.low[half], &b = words.high[half];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const uint4& x = words.x[t][half];
      mma_bf16(sums[t], a.x, b.x, a.y, b.y, x.x, x.y);
      mma_bf16(sums[t], a.z, b.z, a.w, b.w, x.z, x.w);
    }
  }
}

// What y has for rows i and i + 8 of the block's sixteen, if that is added to.
template <Form kForm>
__device__ __forceinline__ void read_before(const NarrowProduct& p, const Rows& rows, int64_t token, int i,
                                            float (&before)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = weight_row(p, rows, i + 8 * half);
    const bool there = p.epilogue.accumulate && token < (kForm == Form::kLinear ? p.x.rows : 1) && row >= 0;
    before[half] = there ? at(p.y, token, row) : 0.0f;
  }
}

// The end of two sums that a lane holds for one token: rows i and i + 8 of the block's sixteen.
template <Form kForm>
__device__ __forceinline__ void finish(const NarrowProduct& p, const Rows& rows, int64_t token, int i, float low,
                                       float high, const float (&before)[2]) {
  if (token >= (kForm == Form::kLinear ? p.x.rows : 1)) return;
  if (p.gated) {
    const Matrix& y = rows.shared ? p.shared_inner : p.y;
    const float* factors = rows.shared ? p.shared_factors : p.factors;
    const int64_t index = rows.block * (kRows / 2) + i;
    const int64_t to = kForm == Form::kLinear ? token : rows.shared ? 0 : blockIdx.y;
    if (index >= y.cols) return;
    const float factor = factors != nullptr ? factors[to] : 1.0f;
    put(y, to, index, index < weight_of(p, rows).rows / 2 ? factor * glu_value(p.glu, low, high) : 0.0f);
    return;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = weight_row(p, rows, i + 8 * half);
    if (row >= 0) put(p.y, token, row, finished(p.epilogue, row, half == 0 ? low : high) + before[half]);
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
  Words<kTiles> words[kAhead];
  const int part = static_cast<int>(blockIdx.x) % p.parts;
  const Rows rows = rows_of_block<kForm>(p);
  int turn = part * kWarps + warp, turns = static_cast<int>((p.w.stride + kTurn - 1) / kTurn);
  if constexpr (kForm == Form::kExpertsFirst) {
    if (rows.shared && rows.block * (kRows / 2) >= p.shared_inner.cols) return;
    if (!rows.shared) wait_for_input();  // the launch before chose the experts
    if (threadIdx.x == 0) experts[0] = rows.shared ? 0 : p.experts[blockIdx.y];
    __syncthreads();
  }
  if constexpr (kForm == Form::kExpertsSecond) {
    turns = turns * p.n_choices + static_cast<int>((p.shared_w.stride + kTurn - 1) / kTurn);
    if (static_cast<int>(threadIdx.x) < p.n_choices) experts[threadIdx.x] = p.experts[threadIdx.x];
    __syncthreads();
  }
  const int step = p.parts * kWarps;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) fetch_weights<kTiles, kForm>(p, rows, experts, turn + i * step, words[i]);
  if (kForm != Form::kExpertsFirst || rows.shared) wait_for_input();
  let_next_begin();
#pragma unroll
  for (int i = 0; i < kAhead; ++i) fetch_inputs<kTiles, kForm>(p, rows, experts, turn + i * step, words[i]);
  // Under way with the products: behind them, it would be waited for.
  const int64_t token = warp * kTokens + lane % 4 * 2;
  float before[2][2] = {};
  if (part == 0 && warp < kTiles) {
    read_before<kForm>(p, rows, token, lane / 4, before[0]);
    read_before<kForm>(p, rows, token + 1, lane / 4, before[1]);
  }
  float sums[kTiles][4] = {};
  for (; turn < turns; turn += kAhead * step) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      multiply<kTiles>(words[i], sums);
      fetch_weights<kTiles, kForm>(p, rows, experts, turn + (kAhead + i) * step, words[i]);
      fetch_inputs<kTiles, kForm>(p, rows, experts, turn + (kAhead + i) * step, words[i]);
    }
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
  finish<kForm>(p, rows, token, lane / 4, sum.x, sum.z, before[0]);
  finish<kForm>(p, rows, token + 1, lane / 4, sum.y, sum.w, before[1]);
}

}  // namespace

void linear_narrow(NarrowProduct p, int n_multiprocessors, cudaStream_t stream) {
  if (p.x.rows == 0) return;
  const bool first = p.experts != nullptr && p.gated;
  const int64_t blocks = p.gated ? ceil_div(p.y.cols, kRows / 2) : ceil_div(p.w.rows, kRows);
  const int64_t of_shared = first && p.shared_w.data != nullptr ? ceil_div(p.shared_inner.cols, kRows / 2) : 0;
  const auto across = static_cast<unsigned>(first ? p.n_choices + ceil_div(of_shared, blocks) : 1);
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
