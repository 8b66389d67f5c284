#pragma once

// The fast backend for CPUs. It asks the CPU and takes AVX-512 with bf16, AVX2, or plain C++.
//
// Weights and the KV cache are kept in panels (panels.h, kv.h). Every matrix multiplication runs on one kind of tile
// (kernels/kernels.h). See docs/internals/backend.md, "CPU".

#include "backend/backend.h"

namespace polymath::backend {

// kFailedPrecondition: the CPU lacks options.isa. kInvalidArgument: no such instruction set.
absl::StatusOr<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options);

}  // namespace polymath::backend
