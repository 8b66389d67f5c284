// e4m3_gemm.cuh with cells of E4M3 codes.

#include "backend/cuda/experts/e4m3_gemm.cuh"

namespace polymath::backend::cuda {

bool e4m3_gemm(const E4m3Gemm& gemm, int n_multiprocessors, cudaStream_t stream) {
  return e4m3::run<E4m3OfFp8>(gemm, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
