#pragma once

// Grouped GEMM on E4M3 tensor cores: inputs rounded by e4m3_rows(), weights in cells of E4M3 numbers (is_e4m3()).

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/packed/e4m3.h"

namespace polymath::backend::cuda {

struct E4m3Gemm {
  ExpertGemm p;            // x: rows of e4m3_rows(), by sorted pair; y of a second GEMM: bf16
  int64_t scale_cols = 0;  // inputs that share a scale of the weight: 32, or a multiple of 128
};
// False: the driver refuses the tensor maps. REQUIRES: is_e4m3(w.cell); rows of w a multiple of 16 (first) and 8
// (second).
bool e4m3_gemm(const E4m3Gemm& gemm, int n_multiprocessors, cudaStream_t stream);

}  // namespace polymath::backend::cuda
