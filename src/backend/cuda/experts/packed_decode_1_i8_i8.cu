// packed_decode_1.cuh for two kinds of cells.

#include "backend/cuda/experts/packed_decode_1.cuh"

namespace polymath::backend::cuda {

bool packed_decode_1_fits_i8_i8(const MoeDecode1& problem, int n_multiprocessors) {
  return packed_decode_1::fits<I8Cell, I8Cell>(problem, n_multiprocessors);
}

void packed_decode_1_i8_i8(const MoeDecode1& problem, int n_multiprocessors, cudaStream_t stream) {
  packed_decode_1::run<I8Cell, I8Cell>(problem, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
