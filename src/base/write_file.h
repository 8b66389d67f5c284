#pragma once

// A whole file, written at once.

#include <string>
#include <string_view>

#include "base/status.h"

namespace polymath::base {

// kUnavailable: cannot be written; the message begins with the path.
absl::Status write_file(const std::string& path, std::string_view text);

}  // namespace polymath::base
