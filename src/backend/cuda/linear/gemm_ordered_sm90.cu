// GEMM of any number of rows with a bf16 weight, every sum in the order of gemm_small_m_sm90.cu (wgmma, TMA).
//
// The inputs have the parts of that kernel's split-K. A part is summed by wgmma, 16 inputs a step. The parts are added
// one after another, here in registers. A row's result so has the same bits in both kernels, and in tiles of any width.
// Weights are the operand of 64 rows, as there.
//
// Blocks are persistent. One warp copies stages of 64 inputs into a ring. Two warpgroups have 64 weight rows each.
// Token tiles go innermost, so that weights come from memory once.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/epilogue.cuh"
#include "backend/cuda/linear/ordered.h"
#include "backend/cuda/pipeline.cuh"
#include "backend/cuda/tensor_map.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kInputs = 64, kRowBytes = kInputs * 2;  // of a stage
constexpr int kGroupRows = 64;
constexpr int kStagesBytes = 200 << 10;  // of all stages, at most

template <int kTokens_>
struct Config {
  static constexpr int kTokens = kTokens_, kGroups = 2, kRows = kGroups * kGroupRows;
  static constexpr int kWeightBytes = kRows * kRowBytes, kStageBytes = kWeightBytes + kTokens * kRowBytes;
  static constexpr int kStages = kStagesBytes / kStageBytes;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr size_t kSharedBytes = static_cast<size_t>(kStages) * kStageBytes + 1024;  // to be aligned
};

struct OrderedGemm {
  int tokens, rows, token_tiles, tiles;
  int parts, stages, longer;  // of a part; the first `longer` parts have one stage more
  LinearEpilogue epilogue;
  Matrix y;
};

template <typename V>
__device__ void produce(const OrderedGemm& p, const OperandMaps& maps, Pipeline<V> pipeline) {
  const int stages = p.parts * p.stages + p.longer;
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const int row = tile / p.token_tiles * V::kRows, token = tile % p.token_tiles * V::kTokens;
    for (int s = 0; s < stages; ++s) {
      pipeline.wait_empty();
      uint64_t* const full = &pipeline.ring.full[pipeline.next.stage];
      barrier_expect(full, V::kStageBytes);
      copy_tensor_2d(pipeline.stage(), &maps.weights, full, s * kInputs, row);
      copy_tensor_2d(pipeline.stage() + V::kWeightBytes, &maps.tokens, full, s * kInputs, token);
      pipeline.advance();
    }
  }
}

// The sums of `stages` stages.
template <typename V>
__device__ __forceinline__ void add_part(Pipeline<V>& pipeline, int group, int stages, float (&d)[V::kTokens / 2]) {
#pragma unroll
  for (int i = 0; i < V::kTokens / 2; ++i) d[i] = 0;
  const auto is_read = [&](const Place& at) {
    if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&pipeline.ring.empty[at.stage]);
  };
  Place read = pipeline.next;  // its wgmma may still run
  for (int s = 0; s < stages; ++s) {
    pipeline.wait_full();
    const uint8_t* const from = pipeline.stage();
    const uint64_t weights = matrix_descriptor(from + group * kGroupRows * kRowBytes),
                   tokens = matrix_descriptor(from + V::kWeightBytes);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kInputs / 16; ++k) wgmma_bf16(d, weights + 2 * k, tokens + 2 * k);  // 32 bytes on
    wgmma_commit();
    if (s > 0) {
      wgmma_wait<1>();
      is_read(read);
      read.advance<V>();
    }
    pipeline.advance();
  }
  wgmma_wait<0>();
  pin(d);
  is_read(read);
}

template <typename V>
__device__ __forceinline__ void finish(const OrderedGemm& p, int row, int token, const float (&sums)[V::kTokens / 2]) {
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) % kGroupThreads / kWarp;
  row += warp * 16 + lane / 4;
  token += lane % 4 * 2;
  float bias[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    bias[h] = p.epilogue.bias != nullptr && row + 8 * h < p.rows ? p.epilogue.bias[row + 8 * h] : 0.0f;
  }
  const auto* const y = static_cast<const float*>(p.y.data);  // added to, it is f32
#pragma unroll
  for (int i = 0; i < V::kTokens / 2; ++i) {
    const int r = row + i / 2 % 2 * 8, t = token + i / 4 * 8 + i % 2;
    if (r >= p.rows || t >= p.tokens) continue;
    const float before = p.epilogue.accumulate ? y[t * p.y.stride + r] : 0.0f;
    put(p.y, t, r, finished_sum(p.epilogue, sums[i] + bias[i / 2 % 2], before));
  }
}

template <typename V>
__device__ void consume(const OrderedGemm& p, Pipeline<V> pipeline, int group) {
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    float sums[V::kTokens / 2], d[V::kTokens / 2];
    add_part(pipeline, group, p.stages + (p.longer > 0 ? 1 : 0), sums);
    for (int part = 1; part < p.parts; ++part) {
      add_part(pipeline, group, p.stages + (part < p.longer ? 1 : 0), d);
#pragma unroll
      for (int i = 0; i < V::kTokens / 2; ++i) sums[i] += d[i];
    }
    finish<V>(p, tile / p.token_tiles * V::kRows + group * kGroupRows, tile % p.token_tiles * V::kTokens, sums);
  }
}

template <typename V>
__global__ void __launch_bounds__(V::kThreads, 1)
    gemm_ordered_kernel(const __grid_constant__ OrderedGemm p, const __grid_constant__ OperandMaps maps) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<V> ring;
  if (threadIdx.x == 0) {
    begin_ring(ring);
    prefetch(maps);
  }
  __syncthreads();
  let_next_begin();
  wait_for_input();
  const Pipeline<V> pipeline{begin_of_stages(memory), ring, {}};
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == V::kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x % kGroupThreads == 0) produce(p, maps, pipeline);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    consume(p, pipeline, group);
  }
}

template <int kTokens>
bool launch(const SmallGemm& g, OrderedGemm p, int n_multiprocessors, cudaStream_t stream) {
  using V = Config<kTokens>;
  const auto axis_of_rows = [](int64_t rows, int64_t stride, uint32_t box) {
    return MapAxis{static_cast<uint64_t>(rows), static_cast<uint64_t>(stride) * 2, box};
  };
  // TMA zero-fills both operands past the weight's inputs.
  const MapAxis of_weights[] = {{static_cast<uint64_t>(g.w.cols), 0, kInputs},
                                axis_of_rows(g.w.rows, g.w.stride, V::kRows)};
  const MapAxis of_tokens[] = {{static_cast<uint64_t>(min(g.x.cols, g.w.cols)), 0, kInputs},
                               axis_of_rows(g.x.rows, g.x.stride, kTokens)};
  OperandMaps maps;
  if (!encode_tensor_map(g.w.data, of_weights, 2, true, &maps.weights) ||
      !encode_tensor_map(g.x.data, of_tokens, 2, true, &maps.tokens)) {
    return false;
  }
  p.token_tiles = static_cast<int>(ceil_div(g.x.rows, kTokens));
  p.tiles = static_cast<int>(ceil_div(g.w.rows, V::kRows)) * p.token_tiles;
  allow_shared<gemm_ordered_kernel<V>>(V::kSharedBytes);
  const auto blocks = static_cast<unsigned>(min(p.tiles, n_multiprocessors));
  launch_after(gemm_ordered_kernel<V>, {dim3(blocks), dim3(V::kThreads), V::kSharedBytes, stream}, p, maps);
  return true;
}

}  // namespace

bool gemm_ordered_sm90(const SmallGemm& g, int n_multiprocessors, cudaStream_t stream) {
  const int log_parts = small_m_log_parts(g.w, n_multiprocessors);
  const auto stages = static_cast<int>(ceil_div(g.w.cols, kInputs));
  const OrderedGemm p{.tokens = static_cast<int>(g.x.rows),
                      .rows = static_cast<int>(g.w.rows),
                      .token_tiles = 0,
                      .tiles = 0,
                      .parts = 1 << log_parts,
                      .stages = stages >> log_parts,
                      .longer = stages % (1 << log_parts),
                      .epilogue = g.epilogue,
                      .y = g.y};
  if (g.x.rows <= 16) return launch<16>(g, p, n_multiprocessors, stream);
  if (g.x.rows <= 32) return launch<32>(g, p, n_multiprocessors, stream);
  // Narrow tiles are more of them: a few hundred rows would leave multiprocessors idle.
  constexpr int64_t kNarrowRowsMost = 256;
  if (g.x.rows <= kNarrowRowsMost) return launch<64>(g, p, n_multiprocessors, stream);
  return launch<128>(g, p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
