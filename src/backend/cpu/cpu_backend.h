#pragma once

// The fast backend for CPUs: AVX-512 with bf16, AVX2, or plain C++, chosen by asking the CPU.
//
// Weights are kept in panels (panels.h), the KV cache too (kv.h); every product of matrices runs on one kind of tile
// (kernels/kernels.h). docs/internals/backend.md, "CPU", has the whole story.

#include "backend/backend.h"

namespace polymath::backend {

// kFailedPrecondition: the CPU lacks options.isa. kInvalidArgument: no such instruction set.
absl::StatusOr<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options);

}  // namespace polymath::backend
