// gemm_small_m.cuh with a bf16 weight.

#include "backend/cuda/linear/gemm_small_m.cuh"
#include "backend/cuda/linear/ordered.h"

namespace polymath::backend::cuda {

int small_m_log_parts(const WeightMatrix& w, int n_multiprocessors) {
  return small_m::log_parts_of(small_m::tiles_of(w), w, n_multiprocessors);
}

bool gemm_small_m_sm90_fits(const SmallGemm& g, int n_multiprocessors) {
  return g.x.rows > 0 && g.x.rows <= kGemmSmallMRowsMax && g.w.rows > 0 &&
         small_m_log_parts(g.w, n_multiprocessors) > 0;
}

bool gemm_small_m_sm90(const SmallGemm& g, int n_multiprocessors, cudaStream_t stream) {
  return small_m::run<PlainOperand>(g, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
