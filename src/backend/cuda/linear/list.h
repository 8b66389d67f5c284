#pragma once

// The variants of the linear op families, best first. batch_invariant: a row's result depends on that row alone. One
// order of sums then serves any number of rows.

#include <span>

#include "backend/cuda/linear/runner.h"

namespace polymath::backend::cuda {

std::span<const Variant<LinearProblem>> linear_variants(bool batch_invariant);          // a weight of one group
std::span<const Variant<LinearProblem>> batched_linear_variants(bool batch_invariant);  // MLA's absorbed projections
std::span<const Variant<LinearProblem>> packed_linear_variants();                       // a packed weight

// A small GEMM finishes before cuBLAS's would have started; past these bytes cuBLAS streams the weight as well.
bool small_weight(const WeightMatrix& w);

}  // namespace polymath::backend::cuda
