#pragma once

// How far loading is: a bar where somebody looks at a terminal, else a log line every tenth.

#include <cstddef>
#include <functional>

namespace polymath::commands {

std::function<void(size_t done, size_t total)> loading_progress();

}  // namespace polymath::commands
