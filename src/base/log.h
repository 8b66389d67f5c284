#pragma once

// One line a fact, to stderr: "2026-02-14T09:30:00.123Z INFO  room: sentence". Thread-safe.
// Control characters in a message are escaped, so that no input can forge a line.

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace polymath::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kCount };

// "debug", "info", "warning" or "error" (any case); false: not one of them, and nothing changed.
bool set_log_level(std::string_view name);
void log_line(LogLevel, std::string_view room, std::string_view message);

template <typename... Parts>
void log_debug(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kDebug, room, absl::StrCat(parts...));
}
template <typename... Parts>
void log_info(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kInfo, room, absl::StrCat(parts...));
}
template <typename... Parts>
void log_warning(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kWarning, room, absl::StrCat(parts...));
}
template <typename... Parts>
void log_error(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kError, room, absl::StrCat(parts...));
}

}  // namespace polymath::base
