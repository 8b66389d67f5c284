#pragma once

// The variants of the expert op families, best first.

#include <span>

#include "backend/cuda/experts/runner.h"

namespace polymath::backend::cuda {

// batch_invariant: a token's output depends on that token alone.
std::span<const ExpertVariant> expert_mlp_variants(bool batch_invariant);
std::span<const ExpertVariant> expert_mlp_with_shared_variants(bool batch_invariant);
std::span<const ExpertVariant> packed_expert_mlp_variants();
std::span<const ExpertVariant> packed_expert_mlp_with_shared_variants();

// Rows that the tensor-core kernels' tiles divide; of the first and the second GEMM.
bool first_rows_fit(const ExpertMlp& mlp);
bool second_rows_fit(const ExpertMlp& mlp);
// Split-K parts of the second GEMM: shorter tiles, so that the last ones end about together.
int64_t second_parts(int64_t intermediate);

}  // namespace polymath::backend::cuda
