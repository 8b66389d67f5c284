#pragma once

// Communicators of GPUs in one process, whose memory every other one of them can write.

#include <memory>
#include <vector>

#include "backend/cuda/device.h"
#include "parallel/communicator.h"

namespace polymath::backend::cuda {

// One a device, in order of the ranks. Operations are launched on the device's stream. The devices outlive them.
// kFailedPrecondition, with a sentence: more ranks than kRanksMax, or two GPUs without peer access.
absl::StatusOr<std::vector<std::unique_ptr<parallel::Communicator>>> make_communicators(
    const std::vector<Device*>& devices);

}  // namespace polymath::backend::cuda
