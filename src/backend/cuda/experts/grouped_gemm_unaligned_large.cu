// Grouped GEMM of many tokens, any width: tiles in shared memory, mma.sync.
//
// A block multiplies 64 or 128 sorted pairs of one expert with 128 rows of its weight. Gated weights: 64 rows of the
// gate and the same 64 of up, alternating by 8. A lane so holds a gate beside its up. Inputs come 64 at a time through
// three cp.async stages. Word w of row r lies at w ^ (r % 8), so that ldmatrix's 8 rows fall into different banks.
//
// Blocks that share weights are adjacent in the grid: weights come from memory about once.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/experts/experts.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/shared_memory.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kInputs = 64, kWords = kInputs / 8;  // of a stage
constexpr int kOutputs = 128;
constexpr int kStages = 3;
constexpr int kLoadRows = kThreads / kWords;  // rows that the block loads at once: a word a thread

template <int kBlocks>  // of 16 rows for each of the two rows of warps
struct Tile {
  static constexpr int kRows = 2 * kBlocks * 16;
  static constexpr int kStageWords = (kRows + kOutputs) * kWords;
  static constexpr size_t kBytes = static_cast<size_t>(kStages) * kStageWords * 16;
};

__device__ __forceinline__ int word_place(int row, int word) { return row * kWords + (word ^ (row % 8)); }

// Weight row of row `i` of the block's 128; -1: past the last.
__device__ __forceinline__ int64_t weight_row(const ExpertGemm& p, int i) {
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kOutputs;
  if (!p.first) return first + i < p.w.rows ? first + i : -1;
  const int64_t intermediate = p.w.rows / 2, index = first / 2 + i / 16 * 8 + i % 8;
  return index < intermediate ? index + (i % 16 >= 8 ? intermediate : 0) : -1;
}

// A thread copies the same word of every kLoadRows-th row.
template <int kBlocks>
struct Source {
  static constexpr int kInputRows = Tile<kBlocks>::kRows / kLoadRows, kWeightRows = kOutputs / kLoadRows;
  const __nv_bfloat16 *inputs[kInputRows], *weights[kWeightRows];  // null: zeros

  __device__ Source(const ExpertGemm& p, int expert, int64_t begin, int64_t end) {
    const int row = static_cast<int>(threadIdx.x) / kWords;
#pragma unroll
    for (int i = 0; i < kInputRows; ++i) {
      const int64_t j = begin + row + i * kLoadRows;
      const int64_t from = j >= end ? -1 : p.first ? p.groups.pairs[j] / p.top_k : j;
      inputs[i] = from >= 0 ? static_cast<const __nv_bfloat16*>(p.x.data) + from * p.x.stride : nullptr;
    }
    const auto* group = static_cast<const __nv_bfloat16*>(p.w.data) + expert * p.w.rows * p.w.stride;
#pragma unroll
    for (int i = 0; i < kWeightRows; ++i) {
      const int64_t from = weight_row(p, row + i * kLoadRows);
      weights[i] = from >= 0 ? group + from * p.w.stride : nullptr;
    }
  }

  __device__ void fetch_stage(const ExpertGemm& p, uint4* stage, int64_t first_input) const {
    const int row = static_cast<int>(threadIdx.x) / kWords, word = static_cast<int>(threadIdx.x) % kWords;
    const int64_t k = first_input + word * 8;
    const bool inside = k < p.x.cols;
#pragma unroll
    for (int i = 0; i < kInputRows; ++i) {
      const bool there = inside && inputs[i] != nullptr;
      fetch_word(shared_place(stage + word_place(row + i * kLoadRows, word)), there ? inputs[i] + k : p.x.data, there);
    }
    uint4* weight_stage = stage + Tile<kBlocks>::kRows * kWords;
#pragma unroll
    for (int i = 0; i < kWeightRows; ++i) {
      const bool there = inside && weights[i] != nullptr;
      fetch_word(shared_place(weight_stage + word_place(row + i * kLoadRows, word)), there ? weights[i] + k : p.w.data,
                 there);
    }
  }
};

// Multiplies one stage: a warp has kBlocks * 16 rows and 32 outputs.
template <int kBlocks>
__device__ void multiply(const uint4* stage, float (&sums)[kBlocks][4][4]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int first_row = warp / 4 * kBlocks * 16, first_output = warp % 4 * 32;
  const uint4* weights = stage + Tile<kBlocks>::kRows * kWords;
#pragma unroll
  for (int word = 0; word < kWords; word += 2) {
    uint32_t a[kBlocks][4], b[2][4];
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      load_matrices(a[i], shared_place(stage + word_place(first_row + i * 16 + lane % 16, word + lane / 16)));
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = first_output + i * 16 + lane % 8 + lane / 16 * 8;
      load_matrices(b[i], shared_place(weights + word_place(row, word + lane / 8 % 2)));
    }
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
#pragma unroll
      for (int o = 0; o < 4; ++o) {
        mma_bf16(sums[i][o], a[i][0], a[i][1], a[i][2], a[i][3], b[o / 2][o % 2 * 2], b[o / 2][o % 2 * 2 + 1]);
      }
    }
  }
}

struct GatedSums {
  const float *gate, *up;
};

// Epilogue of two adjacent sums of gate and of up for sorted pair j, from intermediate element `index` on.
__device__ void finish_first(const ExpertGemm& p, int expert, int64_t j, int64_t index, const GatedSums& sums) {
  const int64_t intermediate = p.w.rows / 2;
  const float* bias = p.bias != nullptr ? p.bias + expert * p.w.rows : nullptr;
  const float factor = p.input_weights != nullptr ? p.input_weights[p.groups.pairs[j]] : 1.0f;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t at = index + i;
    if (at >= p.y.cols) return;
    float value = 0;  // of the padding
    if (at < intermediate) {
      value = glu_value(p.glu, factor * sums.gate[i] + (bias != nullptr ? bias[at] : 0.0f),
                        factor * sums.up[i] + (bias != nullptr ? bias[intermediate + at] : 0.0f));
    }
    put(p.y, j, at, value);
  }
}

__device__ void finish_second(const ExpertGemm& p, int expert, int64_t j, int64_t output, const float* sums) {
  const int32_t pair = p.groups.pairs[j];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (output + i >= p.w.rows) return;
    const float bias = p.bias != nullptr ? p.bias[expert * p.w.rows + output + i] : 0.0f;
    put(p.y, pair, output + i, sums[i] + bias);
  }
}

template <int kBlocks>
__device__ void finish(const ExpertGemm& p, int expert, int64_t begin, int64_t end,
                       const float (&sums)[kBlocks][4][4]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t first_output = static_cast<int64_t>(blockIdx.y) * kOutputs + warp % 4 * 32;
#pragma unroll
  for (int block = 0; block < 2 * kBlocks; ++block) {
    const int i = block / 2, half = block % 2;
    const int64_t j = begin + warp / 4 * kBlocks * 16 + i * 16 + half * 8 + lane / 4;
    if (j >= end) continue;
#pragma unroll
    for (int o = 0; o < 4; ++o) {
      if (!p.first) finish_second(p, expert, j, first_output + o * 8 + lane % 4 * 2, &sums[i][o][half * 2]);
      if (!p.first || o % 2 != 0) continue;
      const int64_t index = first_output / 2 + o / 2 * 8 + lane % 4 * 2;
      finish_first(p, expert, j, index, {&sums[i][o][half * 2], &sums[i][o + 1][half * 2]});
    }
  }
}

template <int kBlocks>
__global__ void __launch_bounds__(kThreads, 2) unaligned_large_kernel(ExpertGemm p) {
  wait_for_input();
  extern __shared__ uint4 stages[];
  __shared__ Piece place;
  constexpr int kRows = Tile<kBlocks>::kRows, kStageWords = Tile<kBlocks>::kStageWords;
  const int32_t* offsets = p.groups.offsets;
  if (threadIdx.x < kWarp) {
    const Piece found = find_piece(static_cast<int>(blockIdx.x), p.groups.n_experts,
                                   [=](int e) { return (offsets[e + 1] - offsets[e] + kRows - 1) / kRows; });
    if (threadIdx.x == 0) place = found;
  }
  __syncthreads();
  const int expert = place.item;
  if (expert < 0) return;
  const int64_t begin = offsets[expert] + static_cast<int64_t>(place.piece) * kRows, end = offsets[expert + 1];
  const Source<kBlocks> source(p, expert, begin, end);
  const int n_stages = static_cast<int>((p.x.cols + kInputs - 1) / kInputs);
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < n_stages) source.fetch_stage(p, stages + s * kStageWords, static_cast<int64_t>(s) * kInputs);
    end_group();
  }
  float sums[kBlocks][4][4] = {};
  for (int s = 0; s < n_stages; ++s) {
    wait_groups<kStages - 2>();
    __syncthreads();  // stage s is there for all, and the stage before it is read by all
    const int next = s + kStages - 1;
    if (next < n_stages) {
      source.fetch_stage(p, stages + next % kStages * kStageWords, static_cast<int64_t>(next) * kInputs);
    }
    end_group();
    multiply<kBlocks>(stages + s % kStages * kStageWords, sums);
  }
  finish<kBlocks>(p, expert, begin, end, sums);
}

template <int kBlocks>
void launch(const ExpertGemm& p, cudaStream_t stream) {
  allow_shared<unaligned_large_kernel<kBlocks>>(Tile<kBlocks>::kBytes);
  const int64_t experts = min(static_cast<int64_t>(p.groups.n_experts), p.groups.n_pairs);
  const int64_t tiles = p.groups.n_pairs / Tile<kBlocks>::kRows + experts;
  const int64_t outputs = p.first ? ceil_div(p.y.cols, kOutputs / 2) : ceil_div(p.w.rows, kOutputs);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(outputs));
  launch_after(unaligned_large_kernel<kBlocks>, {grid, dim3(kThreads), Tile<kBlocks>::kBytes, stream}, p);
}

}  // namespace

void grouped_gemm_unaligned_large(const ExpertGemm& p, cudaStream_t stream) {
  if (p.groups.n_pairs == 0) return;
  // Tiles of 128 pairs if the average expert fills more than one.
  if (p.groups.n_pairs >= int64_t{128} * p.groups.n_experts) {
    launch<4>(p, stream);
  } else {
    launch<2>(p, stream);
  }
}

}  // namespace polymath::backend::cuda
