#pragma once

// The last catch of this room's threads: an exception ends one piece of work, never the process.

#include <exception>
#include <string_view>

namespace polymath::server {

// Logs "NAME threw: WHAT", at most one such line a second. Never throws, even where no memory is left.
void log_exception(std::string_view name, const char* what) noexcept;

// Runs `work`. False: it threw, which is logged.
template <typename Work>
bool quietly(std::string_view name, Work&& work) noexcept {
  try {
    work();
    return true;
  } catch (const std::exception& e) {
    log_exception(name, e.what());
  } catch (...) {
    log_exception(name, "something unknown");
  }
  return false;
}

}  // namespace polymath::server
