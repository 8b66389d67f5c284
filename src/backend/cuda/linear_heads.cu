// A product of each group of a bf16 weight with its own columns of a few rows: MLA's absorbed projections, where a group
// is a head and its weight a hundred kilobytes.
//
// A warp keeps 16 rows of a group's weight, 128 inputs of each, in registers from before the wait on: they are nobody's
// output. It multiplies them with tile after tile of 8 rows of x. Where a group has more inputs, the warps of a block
// share them and add up. Which inputs a lane holds is free, as in experts_narrow.cu.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kRows = 16;     // of the weight, a warp's
constexpr int kTokens = 8;    // of a tile of x
constexpr int kSlice = 128;   // inputs of a warp
constexpr int kStep = 32;     // of a lane's word: 8 of its own
constexpr int kSteps = kSlice / kStep, kLaneInputs = 8;
constexpr int kBlocksAnSm = 6;

using Words = uint4[kSteps];

// The inputs from `first` on of a row of x, in bf16.
__device__ __forceinline__ void fetch_inputs(const HeadsProduct& p, int group, int first, int64_t row, Words& x) {
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int k = first + i * kStep;
    x[i] = make_uint4(0, 0, 0, 0);
    if (row >= p.x.rows || k >= p.w.cols) continue;
    const int64_t from = row * p.x.stride + group * p.x_group_stride + k;
    if (p.x.type == Type::kBf16) {
      x[i] = *reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(p.x.data) + from);
    } else {
      const auto* const words = reinterpret_cast<const float4*>(static_cast<const float*>(p.x.data) + from);
      const float4 a = words[0], b = words[1];
      x[i] = make_uint4(two_bf16(a.x, a.y), two_bf16(a.z, a.w), two_bf16(b.x, b.y), two_bf16(b.z, b.w));
    }
  }
}

// A lane's two rows of the weight, lane / 4 and lane / 4 + 8 of the warp's; zeros behind the last.
__device__ __forceinline__ void fetch_weights(const HeadsProduct& p, int group, int first_row, int first,
                                              Words (&w)[2]) {
  const int lane = threadIdx.x % kWarp;
  const auto* const weights = static_cast<const __nv_bfloat16*>(p.w.data) + group * p.w.rows * p.w.stride;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = first_row + half * 8 + lane / 4;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int k = first + i * kStep;
      w[half][i] = make_uint4(0, 0, 0, 0);
      if (row < p.w.rows && k < p.w.stride) {
        w[half][i] = *reinterpret_cast<const uint4*>(weights + row * p.w.stride + k);
      }
    }
  }
}

// Of a lane: rows lane / 4 and + 8 of the weight for two rows of x from `row` on.
__device__ __forceinline__ void put_sums(const HeadsProduct& p, int group, int64_t row, int first_row, float4 sums) {
  const float values[2][2] = {{sums.x, sums.y}, {sums.z, sums.w}};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t output = first_row + half * 8 + threadIdx.x % kWarp / 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (output < p.w.rows && row + i < p.x.rows) {
        put(p.y, row + i, group * p.y_group_stride + output, values[half][i]);
      }
    }
  }
}

// kSlices warps share a group's inputs. blockIdx: rows of the weight, groups, every gridDim.z-th tile of x.
template <int kSlices>
__global__ void __launch_bounds__(kThreads, kBlocksAnSm) linear_heads_kernel(HeadsProduct p) {
  __shared__ float4 shares[2][kWarps][kWarp];  // of a tile and the next
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, slice = warp % kSlices;
  const int group = static_cast<int>(blockIdx.y);
  const int first_row = (static_cast<int>(blockIdx.x) * (kWarps / kSlices) + warp / kSlices) * kRows;
  const int first = slice * kSlice + lane % 4 * kLaneInputs;
  Words w[2];
  fetch_weights(p, group, first_row, first, w);
  let_next_begin();
  wait_for_input();
  const int tiles = static_cast<int>((p.x.rows + kTokens - 1) / kTokens), step = static_cast<int>(gridDim.z);
  Words x;
  fetch_inputs(p, group, first, blockIdx.z * kTokens + lane / 4, x);
  for (int tile = static_cast<int>(blockIdx.z), i = 0; tile < tiles; tile += step, i ^= 1) {
    float sums[4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      mma_bf16(sums, w[0][k].x, w[1][k].x, w[0][k].y, w[1][k].y, x[k].x, x[k].y);
      mma_bf16(sums, w[0][k].z, w[1][k].z, w[0][k].w, w[1][k].w, x[k].z, x[k].w);
    }
    fetch_inputs(p, group, first, (tile + step) * kTokens + lane / 4, x);
    float4 sum = make_float4(sums[0], sums[1], sums[2], sums[3]);
    if constexpr (kSlices > 1) {
      shares[i][warp][lane] = sum;
      __syncthreads();
      if (slice > 0) continue;
#pragma unroll
      for (int s = 1; s < kSlices; ++s) {
        const float4 other = shares[i][warp + s][lane];
        sum = make_float4(sum.x + other.x, sum.y + other.y, sum.z + other.z, sum.w + other.w);
      }
    }
    put_sums(p, group, tile * kTokens + lane % 4 * 2, first_row, sum);
  }
}

bool in_words(const Matrix& x, int64_t group_stride) {
  const int64_t bytes = type_bytes(x.type);
  return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.stride * bytes % 16 == 0 && group_stride * bytes % 16 == 0;
}

}  // namespace

bool linear_heads(const HeadsProduct& p, int n_multiprocessors, cudaStream_t stream) {
  const int slices = p.w.cols <= kSlice ? 1 : p.w.cols <= 2 * kSlice ? 2 : kWarps;
  if (p.w.type != Type::kBf16 || p.x.type == Type::kF16 || p.w.cols > slices * kSlice || p.w.cols % kLaneInputs != 0 ||
      !in_words(p.x, p.x_group_stride)) {
    return false;
  }
  const int64_t across = ceil_div(p.w.rows, kRows * (kWarps / slices)), tiles = ceil_div(p.x.rows, kTokens);
  const int64_t wanted = kBlocksAnSm * static_cast<int64_t>(n_multiprocessors) / (across * p.w.groups);
  const int64_t deep = wanted < 1 ? 1 : wanted < tiles ? wanted : tiles;
  const dim3 grid(static_cast<unsigned>(across), static_cast<unsigned>(p.w.groups), static_cast<unsigned>(deep));
  const auto kernel = slices == 1 ? linear_heads_kernel<1> : slices == 2 ? linear_heads_kernel<2> : linear_heads_kernel<4>;
  launch_after(kernel, grid, dim3(kThreads), 0, stream, p);
  return true;
}

}  // namespace polymath::backend::cuda
