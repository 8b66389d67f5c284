#pragma once

// Ends the process for a reason that no caller can handle: no memory, no threads, a stuck engine.

#include <string_view>

namespace polymath::base {

inline constexpr int kExitFatal = 70;  // sysexits.h: an internal software error

// Gives the log a moment to be read and ends the process, whatever its threads do.
[[noreturn]] void end_process(int code);

// An error line, then end_process(kExitFatal). Works without memory.
[[noreturn]] void fatal(std::string_view room, std::string_view sentence);

}  // namespace polymath::base
