#pragma once

// cuBLASLt, loaded at run time: a build with CUDA starts on a machine without it.

#include <cublasLt.h>

#include "base/status.h"

namespace polymath::backend::cuda {

// The functions in use, under their own names.
struct CublasLt {
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtGetVersion) version;
  decltype(&::cublasLtMatmul) matmul;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&::cublasLtMatmulDescInit_internal) desc_init;
  decltype(&::cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&::cublasLtMatrixLayoutInit_internal) layout_init;
  decltype(&::cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&::cublasLtMatmulPreferenceInit_internal) preference_init;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set;
};

// kFailedPrecondition: the library of major version 13 is missing or lacks a function. The message says where it was
// searched.
absl::StatusOr<const CublasLt*> load_cublas_lt();

}  // namespace polymath::backend::cuda
