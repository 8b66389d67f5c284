#pragma once

// The router GEMM of few tokens, by the blocks of a cluster. Tiles have 16 router rows and up to 16 tokens. The router
// is bf16, as in most checkpoints, or f32.

#include <type_traits>

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/routing/routing.h"
#include "backend/cuda/shared_memory.cuh"

namespace polymath::backend::cuda {

constexpr int kThreads = 512, kWarps = kThreads / kWarp;
constexpr int kBlocksMost = 8;            // of a cluster: the portable maximum
constexpr int kTileRows = 16;             // of the router
constexpr int kTileTokens = kRouteGroup;  // two mma tiles of eight columns
constexpr int kTileSums = kTileRows * kTileTokens;
constexpr int kTilesMost = kRouteExpertsMax / kTileRows + 1;  // of the experts and a gate
constexpr int kTurn = 32;                                     // inputs of a warp's turn: eight a lane and row
constexpr int kAhead = 4;                                     // turns whose weights are there before the input

// Split of the router over a cluster's blocks: by tiles, and by parts of a tile's inputs. Several tiles a block imply
// one part.
struct Cut {
  int tiles = 1, parts = 1;
  int log_parts = 0;  // a division would delay the first load
  int turns = 1;      // of a warp in neighbouring inputs, at most kAhead; of a router in f32: always one
};

template <typename Number>
constexpr bool kInBf16 = std::is_same_v<Number, __nv_bfloat16>;

// Row `r` of a tile: an expert's, then the gate's; null: past them.
template <typename Number>
__device__ __forceinline__ const Number* router_row(const RouteLayer& p, int tile, int r) {
  const int row = tile * kTileRows + r;
  if (row < p.route.config.n_experts) return static_cast<const Number*>(p.router.data) + row * p.router.stride;
  return row == p.route.config.n_experts ? static_cast<const Number*>(p.gate.data) : nullptr;
}

// Eight elements of rows lane / 4 and + 8 of the block's; null rows give zeros.
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

// The same in bf16, in mma layout.
struct TurnWords {
  uint32_t a[2][4];
};

// As TurnWeights, for rows that are already in mma layout.
__device__ __forceinline__ TurnWords fetch_words(const __nv_bfloat16* low, const __nv_bfloat16* high, int k, int cols) {
  uint4 l = make_uint4(0, 0, 0, 0), h = l;
  if (low != nullptr && k < cols) l = *reinterpret_cast<const uint4*>(low + k);
  if (high != nullptr && k < cols) h = *reinterpret_cast<const uint4*>(high + k);
  return {{{l.x, h.x, l.y, h.y}, {l.z, h.z, l.w, h.w}}};
}

// Rounds two elements to a bf16 pair and leaves them the remainders.
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
// OR of the bits that bf16 drops.
__device__ __forceinline__ uint32_t lost_bits(const TurnWeights& w) {
  uint32_t bits = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float4& v = w.row[i / 2][i % 2];
    bits |= __float_as_uint(v.x) | __float_as_uint(v.y) | __float_as_uint(v.z) | __float_as_uint(v.w);
  }
  return bits & 0xffffu;
}

// threadIdx.x, read again, so that no value derived from it stays in a register.
__device__ __forceinline__ int thread_again() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

// A warp's position in the router: its turns of a part of a tile.
template <typename Number>
struct Turns {
  const Number *low, *high;  // the lane's rows
  int begin, step, cols;     // the lane's inputs; a step goes past those of all warps
  int turns;                 // of a step
  __device__ __forceinline__ Turns(const RouteLayer& p, const Cut& cut, int tile, int part, int thread = threadIdx.x) {
    const int lane = thread % kWarp, warp = thread / kWarp;
    low = router_row<Number>(p, tile, lane / 4), high = router_row<Number>(p, tile, lane / 4 + 8);
    turns = kInBf16<Number> ? cut.turns : 1;
    begin = (part * kWarps + warp) * turns * kTurn + lane % 4 * 8, step = (kWarps * turns * kTurn) << cut.log_parts;
    cols = static_cast<int>(p.x.cols);
  }
  __device__ __forceinline__ TurnWeights fetch(int k) const { return TurnWeights(low, high, k, cols); }
  // Existing turns of the first step.
  __device__ __forceinline__ int there() const { return min(turns, (cols - begin + kTurn - 1) / kTurn); }
};

// The first turns.
struct EarlyWeights {
  uint32_t lost = 0;
  TurnWords words[kAhead];
};

// Steps whose weights fetch_early() loads at once.
template <typename Number>
constexpr int kStepsAtOnce = kInBf16<Number> ? 1 : kAhead / 2;

// Weights are no kernel's output: loaded before the wait. bf16: all turns are in flight at once. f32: half of them fill
// the registers until converted; the others come from the L2 cache afterwards.
__device__ __forceinline__ EarlyWeights fetch_early(const Turns<__nv_bfloat16>& at) {
  EarlyWeights early;
  const int there = at.there();
  const auto* low = at.low != nullptr ? at.low + at.begin : nullptr;
  const auto* high = at.high != nullptr ? at.high + at.begin : nullptr;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) early.words[i] = fetch_words(low, high, i * kTurn, there * kTurn);
  let_next_begin();
  return early;
}
__device__ __forceinline__ EarlyWeights fetch_early(const Turns<float>& at) {
  EarlyWeights early;
#pragma unroll
  for (int i = 0; i < kAhead; i += 2) {
    TurnWeights first = at.fetch(at.begin + i * at.step), second = at.fetch(at.begin + (i + 1) * at.step);
    if (i == 0) let_next_begin();
    early.lost |= lost_bits(first) | lost_bits(second);
    early.words[i] = take_words(first), early.words[i + 1] = take_words(second);
  }
  return early;
}

// Prefetches the block's remaining weights into the L2 cache: a warp a row, by its first lane.
template <typename Number>
__device__ __forceinline__ void prefetch_weights(const RouteLayer& p, const Cut& cut, int first_tile, int tile_step,
                                                 int part) {
  static_assert(kWarps == kTileRows);
  const int block_turn = kWarps * kTurn * (kInBf16<Number> ? cut.turns : 1), step = block_turn << cut.log_parts;
  const int cols = static_cast<int>(p.x.cols), at_once = kStepsAtOnce<Number> * step;
  if (threadIdx.x % kWarp != 0 || (first_tile + tile_step >= cut.tiles && at_once >= cols)) return;
  for (int tile = first_tile; tile < cut.tiles; tile += tile_step) {
    const auto* row = router_row<Number>(p, tile, threadIdx.x / kWarp);
    if (row == nullptr) continue;
    for (int k = part * block_turn + (tile == first_tile ? at_once : 0); k < cols; k += step) {
      const auto bytes = static_cast<uint32_t>(min(block_turn, cols - k) * sizeof(Number));
      prefetch_bulk(row + k, bytes);
    }
  }
}

__device__ __forceinline__ void multiply_turn(const TurnWords& w, const uint4& x, float (&sums)[4]) {
  mma_bf16(sums, w.a[0][0], w.a[0][1], w.a[0][2], w.a[0][3], x.x, x.y);
  mma_bf16(sums, w.a[1][0], w.a[1][1], w.a[1][2], w.a[1][3], x.z, x.w);
}

// Inputs of token 8 t + lane / 4 of the block's n; null: no such token.
__device__ __forceinline__ const __nv_bfloat16* inputs_of(const RouteLayer& p, int t, int n, int thread = threadIdx.x) {
  const int token = t * 8 + thread % kWarp / 4;
  const auto* x = static_cast<const __nv_bfloat16*>(p.x.data);
  return token < n ? x + (blockIdx.y * kRouteGroup + token) * p.x.stride : nullptr;
}
__device__ __forceinline__ uint4 fetch_inputs(const __nv_bfloat16* x, int k, int cols) {
  return x != nullptr && k < cols ? *reinterpret_cast<const uint4*>(x + k) : make_uint4(0, 0, 0, 0);
}

// A lane's inputs of one token: from `begin` on, every `step`-th word below `cols`. x is null: no such token.
struct LaneInputs {
  const __nv_bfloat16* x;
  int begin, step, cols;
};

// Multiplies the early turns with eight tokens.
__device__ __forceinline__ void multiply_early(const EarlyWeights& early, const LaneInputs& from, float (&sums)[4]) {
  uint4 inputs[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) inputs[i] = fetch_inputs(from.x, from.begin + i * from.step, from.cols);
#pragma unroll
  for (int i = 0; i < kAhead; ++i) multiply_turn(early.words[i], inputs[i], sums);
}

// Addresses of the early bf16 turns' inputs, known before the data is. Padding tokens repeat the last one; their sums
// are dropped.
struct EarlyInputs {
  const __nv_bfloat16* x;
  int turns;  // that are there
  __device__ __forceinline__ EarlyInputs(const RouteLayer& p, const Turns<__nv_bfloat16>& at, int t, int n,
                                         int thread) {
    const int token = min(t * 8 + thread % kWarp / 4, n - 1);
    x = static_cast<const __nv_bfloat16*>(p.x.data) + (blockIdx.y * kRouteGroup + token) * p.x.stride + at.begin;
    turns = at.there();
  }
};
__device__ __forceinline__ void multiply_early(const EarlyWeights& early, const EarlyInputs& from, float (&sums)[4]) {
  uint4 inputs[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    inputs[i] = make_uint4(0, 0, 0, 0);
    if (i < from.turns) inputs[i] = *reinterpret_cast<const uint4*>(from.x + i * kTurn);
  }
#pragma unroll
  for (int i = 0; i < kAhead; ++i) multiply_turn(early.words[i], inputs[i], sums);
}

// Adds the weights' low bits: two more bf16 hold all 24 bits.
__device__ __forceinline__ void multiply_rests(const Turns<float>& at, const __nv_bfloat16* const (&x)[2],
                                               float (&sums)[2][4]) {
#pragma unroll 1
  for (int k = at.begin; k - at.begin < at.cols; k += at.step) {
    TurnWeights w = at.fetch(k);
    const uint4 inputs[2] = {fetch_inputs(x[0], k, at.cols), fetch_inputs(x[1], k, at.cols)};
    take_words(w);
#pragma unroll
    for (int rest = 0; rest < 2; ++rest) {
      const TurnWords words = take_words(w);
      multiply_turn(words, inputs[0], sums[0]);
      multiply_turn(words, inputs[1], sums[1]);
    }
  }
}

// A part of a tile of the router, for the block's first n tokens.
struct RouterTile {
  const RouteLayer& p;
  const Cut& cut;
  int tile, part, n;
};

// A bf16 router. Addresses are recomputed: the early weights need the registers.
__device__ __forceinline__ void multiply_words(const RouterTile& t, const EarlyWeights& early,
                                               const EarlyInputs& inputs, float (&sums)[2][4]) {
  multiply_early(early, inputs, sums[0]);
  if (t.n > 8) {
    const int thread = thread_again();
    const Turns<__nv_bfloat16> turns(t.p, t.cut, t.tile, t.part, thread);
    multiply_early(early, EarlyInputs(t.p, turns, 1, t.n, thread), sums[1]);
  }
  const int thread = thread_again();
  const Turns<__nv_bfloat16> at(t.p, t.cut, t.tile, t.part, thread);
  const __nv_bfloat16* const x[2] = {inputs_of(t.p, 0, t.n, thread), inputs_of(t.p, 1, t.n, thread)};
#pragma unroll 1
  for (int done = at.step; done < at.cols; done += at.step) {
#pragma unroll 1
    for (int k = at.begin + done, end = k + at.turns * kTurn; k < end; k += kTurn) {
      const TurnWords words = fetch_words(at.low, at.high, k, at.cols);
      const uint4 of_tokens[2] = {fetch_inputs(x[0], k, at.cols), fetch_inputs(x[1], k, at.cols)};
      multiply_turn(words, of_tokens[0], sums[0]);
      multiply_turn(words, of_tokens[1], sums[1]);
    }
  }
}

// An f32 router. Its elements are mostly exact in bf16: then one mma does.
__device__ __forceinline__ void multiply_floats(const RouterTile& t, const EarlyWeights& early, float (&sums)[2][4]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, step = t.cut.parts * kWarps * kTurn;
  const int begin = (t.part * kWarps + warp) * kTurn + lane % 4 * 8, cols = static_cast<int>(t.p.x.cols);
  uint32_t lost = early.lost;
  multiply_early(early, {inputs_of(t.p, 0, t.n), begin, step, cols}, sums[0]);
  if (t.n > 8) multiply_early(early, {inputs_of(t.p, 1, t.n), begin, step, cols}, sums[1]);
  int tile = t.tile, n = t.n;
  asm("" : "+r"(tile), "+r"(n));  // rows are found again rather than kept: the early weights need the registers
  const Turns<float> at(t.p, t.cut, tile, t.part);
  const __nv_bfloat16* const x[2] = {inputs_of(t.p, 0, n), inputs_of(t.p, 1, n)};
#pragma unroll 1
  for (int k = at.begin + kAhead * step; k - at.begin < cols; k += step) {
    TurnWeights w = at.fetch(k);
    const uint4 inputs[2] = {fetch_inputs(x[0], k, cols), fetch_inputs(x[1], k, cols)};
    lost |= lost_bits(w);
    const TurnWords words = take_words(w);
    multiply_turn(words, inputs[0], sums[0]);
    multiply_turn(words, inputs[1], sums[1]);
  }
  if (__any_sync(kAllLanes, lost != 0)) multiply_rests(at, x, sums);
}

// Either type; the warps split the inputs.
template <typename Number>
__device__ __forceinline__ void multiply_tile(const RouterTile& t, const EarlyWeights& early, const EarlyInputs& inputs,
                                              float (*shares)[kTileSums]) {
  float sums[2][4] = {};
  if constexpr (kInBf16<Number>) multiply_words(t, early, inputs, sums);
  if constexpr (!kInBf16<Number>) multiply_floats(t, early, sums);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
  for (int i = 0; i < 8; ++i) shares[warp][i * kWarp + lane] = sums[i / 4][i % 4];
  __syncthreads();
}

}  // namespace polymath::backend::cuda
