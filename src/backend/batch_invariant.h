#pragma once

// Backends that keep the promise of backend.h: a row's bits do not depend on what else is in the step. "cuda" is slower
// so. The others always keep it.

#include "backend/backend.h"

namespace polymath::backend {

// As make_backend().
absl::StatusOr<std::unique_ptr<Backend>> make_batch_invariant_backend(std::string_view name,
                                                                      const BackendOptions& options);

}  // namespace polymath::backend
