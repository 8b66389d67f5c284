// packed_decode_1.cuh for two kinds of cells.

#include "backend/cuda/experts/packed_decode_1.cuh"

namespace polymath::backend::cuda {

bool packed_decode_1_fits_fp8_fp8(const MoeDecode1& problem, int n_multiprocessors) {
  return packed_decode_1::fits<Fp8Cell, Fp8Cell>(problem, n_multiprocessors);
}

void packed_decode_1_fp8_fp8(const MoeDecode1& problem, int n_multiprocessors, cudaStream_t stream) {
  packed_decode_1::run<Fp8Cell, Fp8Cell>(problem, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
