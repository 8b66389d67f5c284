#pragma once

// Loading progress: a bar on a terminal, else a log line every 10 %.

#include <cstddef>
#include <functional>

namespace polymath::commands {

std::function<void(size_t done, size_t total)> loading_progress();

}  // namespace polymath::commands
