#pragma once

// GEMMs of any number of rows that keep one order of sums: a row's result depends on that row alone.

#include "backend/cuda/linear/linear.h"

namespace polymath::backend::cuda {

// The split-K of gemm_small_m_sm90(): log2 of the parts. It depends on the weight's shape alone. 0: none, as two blocks
// a tile do not fit.
int small_m_log_parts(const WeightMatrix& w, int n_multiprocessors);
// As gemm_small_m_sm90(), for any number of rows and for weights that it does not split. Every sum is taken in its
// order. False and REQUIRES: as there.
bool gemm_ordered_sm90(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);

}  // namespace polymath::backend::cuda
