// grouped_gemm.cuh with packed weights.

#include "backend/cuda/experts/grouped_gemm.cuh"
#include "backend/cuda/experts/packed_tile.cuh"

namespace polymath::backend::cuda {

bool packed_grouped_u6(const ExpertGemm& gemm, int n_multiprocessors, cudaStream_t stream) {
  return grouped::run<PackedManyConfig<U6Cell>, false>(gemm, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
