#pragma once

// Plain loops on one thread: every op's fallback, oracle and documentation.
//
// Weights are [groups][rows][cols] in any format. Packed rows are decoded at each use. A KV block is
// [block_size][n_kv_heads][key_dim], then the same for values.

#include "backend/backend.h"

namespace polymath::backend {

absl::StatusOr<std::unique_ptr<Backend>> make_reference_backend(const BackendOptions& options);

}  // namespace polymath::backend
