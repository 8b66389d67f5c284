// gemm_small_m.cuh with a packed weight.

#include "backend/cuda/linear/gemm_small_m.cuh"

namespace polymath::backend::cuda {

bool packed_small_m_fp4(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream) {
  return small_m::run<PackedOperand<Fp4Cell>>(gemm, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
