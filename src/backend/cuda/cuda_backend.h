#pragma once

// One NVIDIA GPU of compute capability 9.0 (H100, H200).
//
// A weight stands as [groups][rows][cols], its rows padded with zeros to whole words of 16 bytes, in f32, f16 or bf16.
// bf16 is the fast path; f32 and f16 experts take plain products. A gated f32 or f16 weight must be made before
// reserve(), which only then sets aside what the default composition needs. Ops are asked for, not waited for:
// copy_out() and read() wait.

#include "backend/backend.h"

namespace polymath::backend {

// kFailedPrecondition, with a sentence: no driver, one too old, no such card, or no cuBLASLt.
absl::StatusOr<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options);

}  // namespace polymath::backend
