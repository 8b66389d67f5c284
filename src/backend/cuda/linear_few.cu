// A product of a few dozen rows with a bf16 weight, on Hopper's tensor cores: bound by the weight's bytes.
//
// As in experts_tensor.cu the weights are the side of 64 rows and the tokens the short one, and one warp copies stages
// of 64 inputs into a ring. Here a block has one tile: its first stages' weights, often all of them, are on their way
// before it waits for what x is. Where 64 rows a block are too few blocks for the card, the blocks of a cluster share a
// tile, each with a part of the inputs; each adds up every so many of the tokens' columns of all of them.

#include <cooperative_groups.h>

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kRows = 64;                                                   // of the weight
constexpr int kMultiplyThreads = 128, kThreads = kMultiplyThreads + kWarp;  // a warpgroup, and the warp that copies
constexpr int kInputs = 64, kRowBytes = kInputs * 2;                        // of a stage
constexpr int kWeightBytes = kRows * kRowBytes;
constexpr int kPartsMax = 8;  // blocks of a cluster, portably

template <int kTokens>
struct Ring {
  static constexpr int kStageBytes = kWeightBytes + kTokens * kRowBytes;
  static constexpr int kStages = 108 * 1024 / kStageBytes;                                   // two blocks an SM
  static constexpr size_t kSharedBytes = static_cast<size_t>(kStages) * kStageBytes + 1024;  // to be aligned
  static_assert(kStages * kStageBytes >= kRows * kTokens * static_cast<int>(sizeof(float)));
};

struct Copies {
  const CUtensorMap *weights, *tokens;
  int first;         // stage of the block's share
  int tile, octets;  // of weight rows: its number, and its eights of rows on the map's fourth axis
};

template <int kTokens>
__device__ __forceinline__ void copy_weights(const Copies& c, uint8_t* stage, uint64_t* full, int s) {
  barrier_expect(full, Ring<kTokens>::kStageBytes);
  copy_tensor_5d(stage, c.weights, full, (c.first + s) * kInputs, 0, 0, c.tile * c.octets, 0);
}
__device__ __forceinline__ void copy_tokens(const Copies& c, uint8_t* stage, uint64_t* full, int s) {
  copy_tensor_2d(stage + kWeightBytes, c.tokens, full, (c.first + s) * kInputs, 0);
}

// What stands in y where it is added to, for the columns that this block finishes.
template <int kTokens>
__device__ __forceinline__ void read_before(const NarrowProduct& p, int tile, int part, float (&before)[kTokens / 2]) {
  const int lane = threadIdx.x % kWarp, row = tile * kRows + static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < kTokens / 2; ++i) {
    const int token = i / 4 * 8 + lane % 4 * 2 + i % 2, r = row + (i / 2 % 2) * 8;
    const bool there = p.epilogue.accumulate && i / 4 % p.parts == part && token < p.x.rows && r < p.w.rows;
    before[i] = there ? at(p.y, token, r) : 0.0f;
  }
}

// Four sums of a lane: two tokens from column on, rows `row` and `row` + 8 of the block's 64.
__device__ __forceinline__ void finish(const NarrowProduct& p, int tile, int row, int column, const float* sums,
                                       const float* before) {
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    const int token = column + t;
    if (token >= p.x.rows) continue;
    if (p.gated) {  // eight rows of the gate and the same eight of up
      const int index = tile * (kRows / 2) + row / 16 * 8 + row % 8;
      const float factor = p.factors != nullptr ? p.factors[token] : 1.0f;
      if (index < p.y.cols) {
        put(p.y, token, index, index < p.w.rows / 2 ? factor * glu_value(p.glu, sums[t], sums[t + 2]) : 0.0f);
      }
      continue;
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = tile * kRows + row + 8 * half;
      if (r < p.w.rows) put(p.y, token, r, finished(p.epilogue, r, sums[t + 2 * half]) + before[t + 2 * half]);
    }
  }
}

template <int kTokens>
__global__ void __launch_bounds__(kThreads, 2)
    linear_few_kernel(const __grid_constant__ NarrowProduct p, const __grid_constant__ CUtensorMap weights,
                      const __grid_constant__ CUtensorMap tokens) {
  using R = Ring<kTokens>;
  extern __shared__ uint8_t memory[];
  __shared__ uint64_t full[R::kStages], empty[R::kStages];
  uint8_t* stages = memory + (1024 - shared_place(memory) % 1024) % 1024;
  const auto stage = [&](int s) { return stages + s * R::kStageBytes; };
  const int part = static_cast<int>(blockIdx.x) % p.parts, tile = static_cast<int>(blockIdx.x) / p.parts;
  const int all = static_cast<int>((p.w.cols + kInputs - 1) / kInputs);
  const int first = all * part / p.parts, n = all * (part + 1) / p.parts - first;
  const Copies copies{&weights, &tokens, first, tile, p.gated ? kRows / 16 : kRows / 8};
  const bool copies_here = threadIdx.x == kMultiplyThreads;
  if (copies_here) {
    for (int s = 0; s < R::kStages; ++s) {
      barrier_init(&full[s], 1);
      barrier_init(&empty[s], 1);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    for (int s = 0; s < n && s < R::kStages; ++s) copy_weights<kTokens>(copies, stage(s), &full[s], s);
  }
  __syncthreads();
  wait_for_input();
  let_next_begin();
  float d[kTokens / 2], before[kTokens / 2];
  if (copies_here) {
    for (int s = 0; s < n && s < R::kStages; ++s) copy_tokens(copies, stage(s), &full[s], s);
    for (int s = R::kStages; s < n; ++s) {
      const int at = s % R::kStages;
      barrier_wait(&empty[at], (s / R::kStages - 1) % 2);
      copy_weights<kTokens>(copies, stage(at), &full[at], s);
      copy_tokens(copies, stage(at), &full[at], s);
    }
  } else if (threadIdx.x < kMultiplyThreads) {
    read_before<kTokens>(p, tile, part, before);
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) d[i] = 0;
    for (int s = 0; s < n; ++s) {
      const int at = s % R::kStages;
      barrier_wait(&full[at], s / R::kStages % 2);
      const uint64_t a = matrix_descriptor(stage(at)), b = matrix_descriptor(stage(at) + kWeightBytes);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < kInputs / 16; ++k) wgmma_bf16(d, a + 2 * k, b + 2 * k);
      wgmma_commit();
      if (s > 0) {
        wgmma_wait<1>();
        if (threadIdx.x == 0) barrier_arrive(&empty[(s - 1) % R::kStages]);
      }
    }
    wgmma_wait<0>();
  }
  __syncthreads();  // the ring becomes the place of the sums
  const int lane = threadIdx.x % kWarp, row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
  const bool multiplies = threadIdx.x < kMultiplyThreads;
  float* sums = reinterpret_cast<float*>(stages);
  const auto cluster = cooperative_groups::this_cluster();
  if (p.parts > 1) {
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) {
      if (multiplies) sums[i * kMultiplyThreads + threadIdx.x] = d[i];
    }
    cluster.sync();
  }
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    if (!multiplies || j % p.parts != part || 8 * j >= p.x.rows) continue;
    float four[4] = {d[4 * j], d[4 * j + 1], d[4 * j + 2], d[4 * j + 3]};
    for (int other = 0; other < p.parts && p.parts > 1; ++other) {
      const float* from = cluster.map_shared_rank(sums, static_cast<unsigned>(other));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float v = from[(4 * j + i) * kMultiplyThreads + threadIdx.x];
        four[i] = other == 0 ? v : four[i] + v;
      }
    }
    finish(p, tile, row, 8 * j + lane % 4 * 2, four, &before[4 * j]);
  }
  if (p.parts > 1) cluster.sync();  // nobody ends while another reads its sums
}

// Blocks that share a tile, so that no SM has much more to copy than another.
int parts_of(int64_t tiles, int64_t stages, int64_t n_multiprocessors) {
  int best = 1;
  double least = 0;
  for (int parts = 1; parts <= kPartsMax && parts <= stages; ++parts) {
    const double work =
        static_cast<double>(ceil_div(tiles * parts, n_multiprocessors)) * static_cast<double>(ceil_div(stages, parts));
    if (parts == 1 || work < 0.9 * least) best = parts, least = work;
  }
  return best;
}

template <int kTokens>
bool launch(NarrowProduct p, int n_multiprocessors, cudaStream_t stream) {
  const uint64_t inputs = static_cast<uint64_t>(p.w.cols), row_bytes = static_cast<uint64_t>(p.w.stride) * 2;
  const uint64_t halves = p.gated ? 2 : 1, rows = static_cast<uint64_t>(p.w.rows) / halves;
  CUtensorMap weights, tokens;
  const MapAxis of_weights[] = {{inputs, 0, kInputs},
                                {8, row_bytes, 8},
                                {halves, rows * row_bytes, static_cast<uint32_t>(halves)},
                                {rows / 8, 8 * row_bytes, static_cast<uint32_t>(kRows / 8 / halves)},
                                {1, halves * rows * row_bytes, 1}};
  const MapAxis of_tokens[] = {{inputs, 0, kInputs},
                               {static_cast<uint64_t>(p.x.rows), static_cast<uint64_t>(p.x.stride) * 2, kTokens}};
  if (!encode_tensor_map(p.w.data, of_weights, 5, true, &weights)) return false;
  if (!encode_tensor_map(p.x.data, of_tokens, 2, true, &tokens)) return false;
  static const cudaError_t raised =
      cudaFuncSetAttribute(linear_few_kernel<kTokens>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(Ring<kTokens>::kSharedBytes));
  static_cast<void>(raised);  // a failure shows at the launch
  const int64_t tiles = ceil_div(p.w.rows, kRows);
  p.parts = parts_of(tiles, ceil_div(p.w.cols, kInputs), n_multiprocessors);
  launch_clusters_after(static_cast<unsigned>(p.parts), linear_few_kernel<kTokens>,
                        dim3(static_cast<unsigned>(tiles * p.parts)), dim3(kThreads), Ring<kTokens>::kSharedBytes,
                        stream, p, weights, tokens);
  return true;
}

}  // namespace

bool linear_few(const NarrowProduct& p, int n_multiprocessors, cudaStream_t stream) {
  if (p.x.rows == 0) return true;
  if (p.x.rows > kLinearFewRowsMax || p.w.rows % (p.gated ? 16 : 8) != 0 || p.experts != nullptr) return false;
  if (p.x.rows <= 8) return launch<8>(p, n_multiprocessors, stream);
  if (p.x.rows <= 16) return launch<16>(p, n_multiprocessors, stream);
  if (p.x.rows <= 32) return launch<32>(p, n_multiprocessors, stream);
  if (p.x.rows <= 64) return launch<64>(p, n_multiprocessors, stream);
  return launch<128>(p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
