#pragma once

// How much memory this process may still take.

#include <cstdint>

namespace polymath::commands {

// Bytes: the least of the machine's available memory and what its control groups leave.
int64_t available_memory();

}  // namespace polymath::commands
