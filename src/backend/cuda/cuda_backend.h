#pragma once

// One NVIDIA GPU of compute capability 9.0 (H100, H200).
//
// A weight is [groups][rows][cols] in f32, f16 or bf16, its rows padded with zeros to 16-byte words. bf16 is the fast
// path. Ops are asynchronous: copy_out() and await_readback() wait.

#include <string>
#include <vector>

#include "backend/backend.h"
#include "parallel/communicator.h"

namespace polymath::backend {

// batch_invariant: by the tables that keep one order of sums for any number of rows. kFailedPrecondition, with a
// sentence: no driver, an old driver, no such GPU, or no cuBLASLt.
absl::StatusOr<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options, bool batch_invariant = false);

// One communicator a backend, in order of the ranks. The backends outlive them. REQUIRES: make_cuda_backend() made all.
// kFailedPrecondition, with a sentence: the GPUs cannot reach each other's memory.
absl::StatusOr<std::vector<std::unique_ptr<parallel::Communicator>>> make_cuda_communicators(
    const std::vector<Backend*>& backends);

// See backend/device_addresses.h.
std::vector<std::string> cuda_device_addresses(int n_devices);

// For tests: from now on `variant` of `op` runs wherever it fits. "": the best again. False: no such name.
// REQUIRES: make_cuda_backend() made the backend. Thread safety: as OpFamily::force().
bool force_kernel(Backend& cuda_backend, std::string_view op, std::string_view variant);

}  // namespace polymath::backend
