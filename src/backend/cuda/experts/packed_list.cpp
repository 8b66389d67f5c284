// Kinds of cells that the fused expert kernels take together. To add a pair: its two files, then its line in both
// lists.

#include "backend/cuda/experts/packed_experts.h"

#include <iterator>

namespace polymath::backend::cuda {

bool packed_grouped_gemm(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream) {
  static constexpr decltype(&packed_grouped_i8) kKernels[] = {
      nullptr, packed_grouped_i8, packed_grouped_u4, packed_grouped_u6, packed_grouped_fp4, packed_grouped_fp8};
  static_assert(std::size(kKernels) == static_cast<size_t>(Cell::kCount));
  return kKernels[static_cast<int>(gemm.w.cell)](gemm, n_multiprocessors, stream);
}

const PackedExperts* find_packed_experts(Cell first, Cell second) {
  static constexpr PackedExperts kPairs[] = {
      {Cell::kI8, Cell::kI8, packed_fused_i8_i8, packed_decode_1_fits_i8_i8, packed_decode_1_i8_i8},
      {Cell::kU4, Cell::kU4, packed_fused_u4_u4, packed_decode_1_fits_u4_u4, packed_decode_1_u4_u4},
      {Cell::kU4, Cell::kU6, packed_fused_u4_u6, packed_decode_1_fits_u4_u6, packed_decode_1_u4_u6},
      {Cell::kU4, Cell::kI8, packed_fused_u4_i8, packed_decode_1_fits_u4_i8, packed_decode_1_u4_i8},
      {Cell::kU6, Cell::kU6, packed_fused_u6_u6, packed_decode_1_fits_u6_u6, packed_decode_1_u6_u6},
      {Cell::kFp4, Cell::kFp4, packed_fused_fp4_fp4, packed_decode_1_fits_fp4_fp4, packed_decode_1_fp4_fp4},
      {Cell::kFp8, Cell::kFp8, packed_fused_fp8_fp8, packed_decode_1_fits_fp8_fp8, packed_decode_1_fp8_fp8},
  };
  for (const PackedExperts& pair : kPairs) {
    if (pair.first == first && pair.second == second) return &pair;
  }
  return nullptr;
}

}  // namespace polymath::backend::cuda
