#pragma once

// How the ranks of a group meet, by the backends they run on.

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "parallel/communicator.h"

namespace polymath::backend {

// One a backend, in order of the ranks; the backends are of one kind and outlive them.
// kFailedPrecondition, with a sentence: GPUs that cannot reach each other's memory.
absl::StatusOr<std::vector<std::unique_ptr<parallel::Communicator>>> make_communicators(
    const std::vector<Backend*>& backends);

}  // namespace polymath::backend
