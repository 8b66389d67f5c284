// f32 GEMM by plain multiply-adds, of any types and shapes. A block computes 64 x 64 outputs, 16 inputs at a time.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/linear.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256, kEach = 4;  // outputs a thread: 4 x 4

// The rows of the step that a block computes, and their group of the weight.
struct Rows {
  int group = -1;
  int64_t begin = 0, end = 0;
};

__device__ Rows rows_of(const GemmF32& p) {
  if (p.groups.offsets == nullptr) {
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTile;
    return {static_cast<int>(blockIdx.z), begin, begin + kTile < p.y.rows ? begin + kTile : p.y.rows};
  }
  __shared__ Rows found;
  if (threadIdx.x < kWarp) {
    const int32_t* offsets = p.groups.offsets;
    const Piece piece = find_piece(static_cast<int>(blockIdx.x), p.groups.n_experts,
                                   [=](int e) { return (offsets[e + 1] - offsets[e] + kTile - 1) / kTile; });
    if (threadIdx.x == 0) {
      Rows rows{piece.item, 0, 0};
      if (piece.item >= 0) {
        rows.begin = offsets[piece.item] + static_cast<int64_t>(piece.piece) * kTile;
        rows.end = offsets[piece.item + 1];
      }
      found = rows;
    }
  }
  __syncthreads();
  return found;
}

__device__ float input_at(const GemmF32& p, int64_t row, int group, int64_t c) {
  const float v = at(p.x, row, group * p.x_group_stride + c);
  return p.round_input ? __bfloat162float(__float2bfloat16_rn(v)) : v;
}

__device__ void finish(const GemmF32& p, int64_t row, int group, int64_t r, float sum) {
  const LinearEpilogue& e = p.epilogue;
  float v = sum + (e.bias != nullptr ? e.bias[group * p.w.rows + r] : 0.0f);
  if (e.clamp > 0) v = v < -e.clamp ? -e.clamp : v > e.clamp ? e.clamp : v;
  const int64_t col = group * p.y_group_stride + r;
  put(p.y, row, col, e.scale * v + (e.accumulate ? at(p.y, row, col) : 0.0f));
}

__global__ void __launch_bounds__(kThreads) gemm_f32_kernel(GemmF32 p) {
  wait_for_input();
  const Rows rows = rows_of(p);
  if (rows.group < 0) return;
  __shared__ float inputs[kDepth][kTile + 1], weights[kDepth][kTile + 1];
  __shared__ int64_t sources[kTile];  // -1: no such row
  const int64_t first_output = static_cast<int64_t>(blockIdx.y) * kTile;
  if (threadIdx.x < kTile) {
    const int64_t j = rows.begin + threadIdx.x;
    sources[threadIdx.x] = j >= rows.end ? -1 : p.gather ? p.groups.pairs[j] / p.top_k : j;
  }
  const int row = threadIdx.x / (kTile / kEach) * kEach, output = threadIdx.x % (kTile / kEach) * kEach;
  float sums[kEach][kEach] = {};
  for (int64_t begin = 0; begin < p.w.cols; begin += kDepth) {
    __syncthreads();
    for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads) {
      const int which = i / kDepth, c = i % kDepth;
      const int64_t from = sources[which], r = first_output + which;
      const bool inside = begin + c < p.w.cols;
      inputs[c][which] = inside && from >= 0 ? input_at(p, from, rows.group, begin + c) : 0.0f;
      weights[c][which] = inside && r < p.w.rows
                              ? value_at(p.w.data, p.w.type, (rows.group * p.w.rows + r) * p.w.stride + begin + c)
                              : 0.0f;
    }
    __syncthreads();
    for (int c = 0; c < kDepth; ++c) {
#pragma unroll
      for (int i = 0; i < kEach * kEach; ++i) {
        const int a = i / kEach, b = i % kEach;
        sums[a][b] += inputs[c][row + a] * weights[c][output + b];
      }
    }
  }
  for (int a = 0; a < kEach; ++a) {
    for (int b = 0; b < kEach; ++b) {
      const int64_t j = rows.begin + row + a, r = first_output + output + b;
      if (j < rows.end && r < p.w.rows) finish(p, j, rows.group, r, sums[a][b]);
    }
  }
}

}  // namespace

void gemm_f32(const GemmF32& p, cudaStream_t stream) {
  const bool grouped = p.groups.offsets != nullptr;
  // Each group's last tile may be partial: one tile more.
  const int64_t tiles = grouped
                            ? p.groups.n_pairs / kTile + min(static_cast<int64_t>(p.groups.n_experts), p.groups.n_pairs)
                            : ceil_div(p.y.rows, kTile);
  if (tiles == 0) return;
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(ceil_div(p.w.rows, kTile)),
                  static_cast<unsigned>(grouped ? 1 : p.w.groups));
  launch_after(gemm_f32_kernel, {grid, dim3(kThreads), 0, stream}, p);
}

}  // namespace polymath::backend::cuda
