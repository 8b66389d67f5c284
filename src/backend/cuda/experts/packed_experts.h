#pragma once

// Entries of the expert kernels with packed weights, one of each for two kinds of cells: gate_up's and down's.

#include "backend/cuda/experts/experts.h"

namespace polymath::backend::cuda {

// As moe_fused_small_m(), moe_decode_1_fits() and moe_decode_1().
#define POLYMATH_PACKED_EXPERTS(PAIR)                                                                  \
  bool packed_fused_##PAIR(const MoeFusedSmallM& experts, int n_multiprocessors, cudaStream_t stream); \
  bool packed_decode_1_fits_##PAIR(const MoeDecode1& problem, int n_multiprocessors);                  \
  void packed_decode_1_##PAIR(const MoeDecode1& problem, int n_multiprocessors, cudaStream_t stream);
POLYMATH_PACKED_EXPERTS(i8_i8)
POLYMATH_PACKED_EXPERTS(u4_u4)
POLYMATH_PACKED_EXPERTS(u4_u6)
POLYMATH_PACKED_EXPERTS(u4_i8)
POLYMATH_PACKED_EXPERTS(u6_u6)
POLYMATH_PACKED_EXPERTS(fp4_fp4)
POLYMATH_PACKED_EXPERTS(fp8_fp8)
#undef POLYMATH_PACKED_EXPERTS

// As grouped_gemm_sm90(), by the cell of the GEMM's weight. REQUIRES: it is packed.
bool packed_grouped_i8(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_grouped_u4(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_grouped_u6(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_grouped_fp4(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_grouped_fp8(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_grouped_gemm(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream);

struct PackedExperts {
  Cell first, second;
  bool (*fused)(const MoeFusedSmallM& experts, int n_multiprocessors, cudaStream_t stream);
  bool (*decode_1_fits)(const MoeDecode1& problem, int n_multiprocessors);
  void (*decode_1)(const MoeDecode1& problem, int n_multiprocessors, cudaStream_t stream);
};
// Null: there are no kernels for that pair.
const PackedExperts* find_packed_experts(Cell first, Cell second);

}  // namespace polymath::backend::cuda
