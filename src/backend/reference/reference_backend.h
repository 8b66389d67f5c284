#pragma once

// Plain loops on one thread: the fallback, the oracle and the documentation of every op.
//
// Weights are [groups][rows][cols] in any format; packed ones are decoded row by row as they are used. A KV block is
// [block_size][n_kv_heads][key_dim], then the same for values.

#include "backend/backend.h"

namespace polymath::backend {

absl::StatusOr<std::unique_ptr<Backend>> make_reference_backend(const BackendOptions& options);

}  // namespace polymath::backend
