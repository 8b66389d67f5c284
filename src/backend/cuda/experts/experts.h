#pragma once

// Kernels of gated expert networks with 2-byte weights. ExpertRunner (runner.h) chooses among them by
// the tables of list.cpp.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// One of a group's two GEMMs. `pair` is pairs[j], sorted pair j's place before the sort.
//   first:  intermediate[j] = glu(f * (x[pair / top_k] w[e]^T) + bias), f the pair's weight where weight_on_input
//   second: y[pair] = intermediate[j] w[e]^T + bias, f32; split-K: y[pair * parts + part], to be summed by combine()
struct ExpertGemm {
  Matrix x;  // the weights' type, rows of 16-byte words, cols a multiple of 8; second: intermediate
  WeightMatrix w;
  const float* bias = nullptr;
  Groups groups;
  int64_t top_k = 1;
  bool first = true;
  GluParams glu;
  const float* input_weights = nullptr;  // [n_pairs] by pair, or null
  Matrix y;                              // first: intermediate, cols = its stride, padding becomes zeros
  int parts = 1;                         // split-K parts; more than 1 only for the second of moe_fused_small_m
  bool sorted = true;                    // x by sorted pair; false: by token, only for the first of moe_fused_small_m
};

// A single token's experts and a shared expert, both GEMMs in one launch, bf16. y += scale * sum of glu(f * x
// gate_up[e]^T) down[e]^T. An expert of -1 adds nothing.
constexpr int kMoeDecodeTopKMax = 32;
struct MoeDecode1 {
  Matrix x, y;                               // one row; x: bf16 in 16-byte words
  WeightMatrix gate_up, down;                // a group an expert
  const int32_t* experts = nullptr;          // [n_choices]
  const float* factors = nullptr;            // f; null: 1
  int n_choices = 0;                         // at most kMoeDecodeTopKMax
  WeightMatrix shared_gate_up, shared_down;  // cols 0: none
  const float* shared_factors = nullptr;     // [1]; null: 1
  GluParams glu;
  float scale = 1;
  void* intermediate = nullptr;  // scratch: [n_choices * intermediate + shared intermediate] bf16
  unsigned* counter = nullptr;   // zero before the first launch
};
// Widths in 16-byte words, and inputs, intermediate and partial sums within shared memory.
bool moe_decode_1_fits(const MoeDecode1& problem, int n_multiprocessors);
// REQUIRES: moe_decode_1_fits().
void moe_decode_1(const MoeDecode1& problem, int n_multiprocessors, cudaStream_t stream);

// Both GEMMs of a group, and of a shared expert beside it, in one launch (wgmma, TMA).
constexpr int kSmallM = 64;                      // tokens of a tile; on average an expert has fewer
constexpr int64_t kSmallMSharedTokensMax = 128;  // past it a shared expert's GEMMs are cuBLAS's
// One for the claims, one for each token tile. Tiles of 16 tokens are for at most 16 an expert in the mean.
constexpr int kMoeFusedCounters = 1 + routing::kExpertsMax * (kSmallM / 32 + 1) + kSmallMSharedTokensMax / 16;
struct MoeFusedSmallM {
  ExpertGemm first, second;
  const ExpertGemm *shared_first = nullptr, *shared_second = nullptr;  // of the group's type; null: none
  unsigned* counters = nullptr;  // [kMoeFusedCounters]: zeros; combine() clears them afterwards
};
constexpr int64_t kUnsortedTokensMax = 8;  // steps of more tokens sort the inputs by pair
// False: the driver refuses the tensor maps. REQUIRES: rows of w a multiple of 16 (first) and 8 (second); pairs > 0.
bool moe_fused_small_m(const MoeFusedSmallM& experts, int n_multiprocessors, cudaStream_t stream);

// Grouped GEMM of many tokens (wgmma, TMA), inputs sorted. The same requirements; the second's y has the weights' type.
bool grouped_gemm_sm90(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);
// y[j] = x[pairs[j] / top_k]; rows of 16-byte words of 2-byte elements.
void gather_pairs(const Matrix& x, const Groups& groups, int64_t top_k, const Matrix& y, cudaStream_t stream);

// One grouped GEMM of any width, bf16 (mma.sync). small: every weight is read once, by one block.
constexpr int64_t kUnalignedSmallTokensMax = 32;
void grouped_gemm_unaligned_small(const ExpertGemm& gemm, int64_t n_tokens, cudaStream_t stream);
void grouped_gemm_unaligned_large(const ExpertGemm& gemm, cudaStream_t stream);

// out[t] += scale * sum over t's choices, in order, of weight * y[row]. The row is row_of[pair], or the pair where
// row_of is null. Null weights: 1. Then out[t] += shared_scale * shared_weights[t] * shared[t]. A split-K row is the
// sum of `parts` rows from row * parts on.
struct Combine {
  Matrix y;  // f32 or 2-byte; shared has the same type
  int parts = 1, shared_parts = 1;
  const int32_t *ids = nullptr, *row_of = nullptr;
  const float* weights = nullptr;
  int64_t top_k = 1;
  float scale = 1;
  Matrix shared;  // data null: none
  const float* shared_weights = nullptr;
  float shared_scale = 1;
  Matrix out;
  unsigned* counters = nullptr;  // to be cleared, or null
  int n_counters = 0;
};
void combine(const Combine& combine, cudaStream_t stream);

}  // namespace polymath::backend::cuda
