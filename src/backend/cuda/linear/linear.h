#pragma once

// Entries of the linear kernels. LinearRunner (runner.h) chooses among them by the table of list.cpp.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// A GEMM of few rows: y = [y +] scale * clamp(x w^T + bias).
// Gated: y[t] = factors[t] * glu(x w^T), w [2 * intermediate, cols]; y's columns past intermediate become zeros.
struct SmallGemm {
  Matrix x, y;     // x: bf16, rows of 16-byte words, cols a multiple of 8
  WeightMatrix w;  // bf16, one group
  LinearEpilogue epilogue;
  bool gated = false;
  GluParams glu;
  const float* factors = nullptr;  // null: 1
  int parts = 1;                   // split-K parts; set by gemv()
};

// mma.sync, at most kGemvRowsMax rows.
constexpr int64_t kGemvRowsMax = 16;
void gemv(SmallGemm gemm, int n_multiprocessors, cudaStream_t stream);

// wgmma fed by TMA, at most kGemmSmallMRowsMax rows, split-K over a cluster. Partial sums go through other blocks'
// shared memory: it fits only where clusters of two fit the GPU at once.
constexpr int64_t kGemmSmallMRowsMax = 64;
bool gemm_small_m_sm90_fits(const SmallGemm& gemm, int n_multiprocessors);
// False: the driver refuses the tensor maps. REQUIRES: gemm_small_m_sm90_fits(), not gated, cols > 0; w is no output
// of the step; y f32 where it is accumulated to.
bool gemm_small_m_sm90(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);

// The same with a packed weight, of any number of rows; one for each kind of cell. REQUIRES: 1 row of x and more, as
// above; the weight of one group.
bool packed_small_m_i8(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_small_m_u4(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_small_m_u6(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_small_m_fp4(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);
bool packed_small_m_fp8(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);

// f32 multiply-adds, any types and shapes: always right, never fast.
//   groups.offsets null: for every group g of w: y[:, g * y_group_stride ..] = x[:, g * x_group_stride ..] w[g]^T
//   else a grouped GEMM: y[j] = x[gather ? pairs[j] / top_k : j] w[expert of j]^T
struct GemmF32 {
  Matrix x, y;  // x: rows of the whole step
  WeightMatrix w;
  LinearEpilogue epilogue;
  bool round_input = false;  // x is rounded to bf16 first
  Groups groups;
  int64_t top_k = 1;
  bool gather = false;
  int64_t x_group_stride = 0, y_group_stride = 0;
};
void gemm_f32(const GemmF32& gemm, cudaStream_t stream);

}  // namespace polymath::backend::cuda
