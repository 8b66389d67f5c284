// GEMM of up to 16 rows with a bf16 weight (mma.sync). Bound by the weight's bytes, and short enough that its start
// counts.
//
// A block has 16 weight rows and all of x; its eight warps split the inputs, 64 a turn. No kernel of the step writes
// weights, so those of the first turns (often all) are copied before the wait. Each lane copies what it multiplies, so
// warps do not wait for each other. Weights of few rows are split along the inputs too (split-K over a cluster); its
// first block adds up. A lane's inputs are permuted as in grouped_gemm_unaligned_small.cu.

#include <cooperative_groups.h>

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/linear.h"
#include "backend/cuda/shared_memory.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;
constexpr int kRows = 16;   // of the weight
constexpr int kTokens = 8;  // of a tile of x
constexpr int kTurn = 64;   // inputs of a warp's turn: two words of 16 bytes a lane and row
constexpr int kDeep = 4;    // turns whose weights are in flight
constexpr int kAhead = 2;   // turns whose inputs are
static_assert(kDeep % kAhead == 0);
constexpr int kBlocksAnSm = 3;
constexpr int kPartsMost = 4;  // of the inputs

// A lane's 16-byte words of a turn: rows lane / 4 and + 8, both halves of its inputs. Shared memory holds them lane by
// lane.
constexpr int kWordBytes = 16, kTurnWords = 4, kTurnBytes = kTurnWords * kWarp * kWordBytes;
constexpr int kSharedBytes = kWarps * kDeep * kTurnBytes;

// Weight row of row `i` of the block's sixteen. Gated: eight of the gate and the same eight of up. -1: past the last.
// An int: a weight has fewer than 2^31 elements.
__device__ __forceinline__ int weight_row(const SmallGemm& p, int i) {
  const int n_rows = static_cast<int>(p.w.rows), block = static_cast<int>(blockIdx.x) / p.parts;
  if (p.gated) {
    const int intermediate = n_rows / 2, index = block * (kRows / 2) + i % 8;
    return index < intermediate ? index + (i >= 8 ? intermediate : 0) : -1;
  }
  const int row = block * kRows + i;
  return row < n_rows ? row : -1;
}

// To `to`, the lane's shared memory; zeros past the end.
__device__ __forceinline__ void fetch_weights(const SmallGemm& p, int turn, uint32_t to) {
  const int lane = threadIdx.x % kWarp, stride = static_cast<int>(p.w.stride);
  const auto* const weights = static_cast<const __nv_bfloat16*>(p.w.data);
  const uint64_t policy = read_once();
#pragma unroll
  for (int i = 0; i < kTurnWords; ++i) {
    const int row = weight_row(p, lane / 4 + i % 2 * 8), k = turn * kTurn + i / 2 * (kTurn / 2) + lane % 4 * 8;
    const bool there = k < stride && row >= 0;
    fetch_word(to + i * kWarp * kWordBytes, weights + (there ? row * stride + k : 0), there, policy);
  }
  end_group();
}

template <int kTiles>
__device__ __forceinline__ void fetch_inputs(const SmallGemm& p, int turn, uint4 (&x)[kTiles][2]) {
  const int lane = threadIdx.x % kWarp, stride = static_cast<int>(p.x.stride);
  const auto* const inputs = static_cast<const __nv_bfloat16*>(p.x.data);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int k = turn * kTurn + half * (kTurn / 2) + lane % 4 * 8;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const int token = t * kTokens + lane / 4;
      x[t][half] = make_uint4(0, 0, 0, 0);
      if (k < p.x.cols && token < p.x.rows) {
        x[t][half] = *reinterpret_cast<const uint4*>(inputs + token * stride + k);
      }
    }
  }
}

template <int kTiles>
__device__ __forceinline__ void multiply(uint32_t weights, const uint4 (&x)[kTiles][2], float (&sums)[kTiles][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 a = load_word(weights + (2 * half) * kWarp * kWordBytes);
    const uint4 b = load_word(weights + (2 * half + 1) * kWarp * kWordBytes);
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      mma_bf16(sums[t], a.x, b.x, a.y, b.y, x[t][half].x, x[t][half].y);
      mma_bf16(sums[t], a.z, b.z, a.w, b.w, x[t][half].z, x[t][half].w);
    }
  }
}

// The old y of rows i and i + 8, where it is accumulated to.
__device__ __forceinline__ void read_before(const SmallGemm& p, int64_t token, int i, float (&before)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = weight_row(p, i + 8 * half);
    const bool there = p.epilogue.accumulate && token < p.x.rows && row >= 0;
    before[half] = there ? at(p.y, token, row) : 0.0f;
  }
}

// Epilogue of a lane's two sums of one token: rows i and i + 8 of the block's sixteen.
__device__ __forceinline__ void finish(const SmallGemm& p, int64_t token, int i, float2 sums,
                                       const float (&before)[2]) {
  if (token >= p.x.rows) return;
  if (p.gated) {
    const int index = static_cast<int>(blockIdx.x) / p.parts * (kRows / 2) + i;
    if (index >= p.y.cols) return;
    const float factor = p.factors != nullptr ? p.factors[token] : 1.0f;
    put(p.y, token, index, index < p.w.rows / 2 ? factor * glu_value(p.glu, sums.x, sums.y) : 0.0f);
    return;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = weight_row(p, i + 8 * half);
    if (row >= 0) put(p.y, token, row, finished(p.epilogue, row, half == 0 ? sums.x : sums.y) + before[half]);
  }
}

template <int kTiles>
__global__ void __launch_bounds__(kThreads, kTiles == 1 ? 4 : kBlocksAnSm) gemv_kernel(SmallGemm p) {
  extern __shared__ __align__(kWordBytes) unsigned char memory[];
  __shared__ float4 shares[kWarps][kTiles][kWarp], of_others[kPartsMost - 1][kTiles][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t own = shared_place(memory) + warp * kDeep * kTurnBytes + lane * kWordBytes;
  const auto cluster = cooperative_groups::this_cluster();
  const int part = static_cast<int>(cluster.block_rank());
  cluster.barrier_arrive();  // this block's memory is there
  int turn = part * kWarps + warp;
  const int turns = static_cast<int>((p.w.stride + kTurn - 1) / kTurn);
  const int step = p.parts * kWarps;
#pragma unroll
  for (int i = 0; i < kDeep; ++i) fetch_weights(p, turn + i * step, own + i * kTurnBytes);
  let_next_begin();
  wait_for_input();
  uint4 x[kAhead][kTiles][2];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) fetch_inputs<kTiles>(p, turn + i * step, x[i]);
  // Loaded beside the GEMM, which hides the latency.
  const int64_t token = warp * kTokens + lane % 4 * 2;
  float before[2][2] = {};
  if (part == 0 && warp < kTiles) {
    read_before(p, token, lane / 4, before[0]);
    read_before(p, token + 1, lane / 4, before[1]);
  }
  float sums[kTiles][4] = {};
  while (turn < turns) {
#pragma unroll
    for (int i = 0; i < kDeep; ++i, turn += step) {
      wait_groups<kDeep - 1>();
      multiply<kTiles>(own + i * kTurnBytes, x[i % kAhead], sums);
      fetch_inputs<kTiles>(p, turn + kAhead * step, x[i % kAhead]);
      if (turn + kDeep * step < turns) {  // past the end stale weights meet zero inputs
        fetch_weights(p, turn + kDeep * step, own + i * kTurnBytes);
      } else {
        end_group();
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kTiles; ++t) shares[warp][t][lane] = make_float4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
  __syncthreads();
  float4 sum = make_float4(0, 0, 0, 0);
  for (int w = 0; w < kWarps && warp < kTiles; ++w) sum = add(sum, shares[w][warp][lane]);
  cluster.barrier_wait();
  if (p.parts > 1) {
    if (part > 0 && warp < kTiles) *cluster.map_shared_rank(&of_others[part - 1][warp][lane], 0) = sum;
    cluster.sync();
    if (part > 0) return;
    for (int i = 1; i < p.parts && warp < kTiles; ++i) sum = add(sum, of_others[i - 1][warp][lane]);
  }
  if (warp >= kTiles) return;
  finish(p, token, lane / 4, {sum.x, sum.z}, before[0]);
  finish(p, token + 1, lane / 4, {sum.y, sum.w}, before[1]);
}

}  // namespace

void gemv(SmallGemm p, int n_multiprocessors, cudaStream_t stream) {
  if (p.x.rows == 0) return;
  const int64_t blocks = p.gated ? ceil_div(p.y.cols, kRows / 2) : ceil_div(p.w.rows, kRows);
  p.parts = 1;
  while (p.parts < kPartsMost && 2 * p.parts * blocks <= kBlocksAnSm * static_cast<int64_t>(n_multiprocessors)) {
    p.parts *= 2;
  }
  const auto parts = static_cast<unsigned>(p.parts);
  const dim3 grid(static_cast<unsigned>(blocks) * parts);
  allow_shared<gemv_kernel<1>>(kSharedBytes), allow_shared<gemv_kernel<2>>(kSharedBytes);
  launch_after(p.x.rows <= kTokens ? gemv_kernel<1> : gemv_kernel<2>,
               {grid, dim3(kThreads), kSharedBytes, stream, parts}, p);
}

}  // namespace polymath::backend::cuda
