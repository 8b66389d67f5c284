#pragma once

// The verb `deploy` without its output.

#include <string>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

// `arguments`: flags of deploy, and behind `--` those of serve. kOutOfRange: help was printed.
absl::StatusOr<std::string> deploy_text(const std::vector<std::string>& arguments);

}  // namespace polymath::commands
