#pragma once

// Whole files, read with a bound. Only regular files are read: a FIFO or a device could make the caller wait for ever.

#include <cstddef>
#include <string>

#include "base/status.h"

namespace polymath::base {

// kNotFound: cannot be opened. kInvalidArgument: no regular file, or more than `bytes_max`. kDataLoss: cannot be read.
// Every message begins with the path.
absl::StatusOr<std::string> read_file(const std::string& path, size_t bytes_max);

// The same checks without reading.
absl::Status check_file(const std::string& path, size_t bytes_max);

}  // namespace polymath::base
