#pragma once

// Log lines on stderr: "2026-02-14T09:30:00.123Z info    room: sentence". Thread-safe.
// Controls are escaped (base/printable.h), so that no input can forge a line.
//
// A log line never waits. What stderr does not take is kept, up to a bound; more is dropped, and the count is logged.

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace polymath::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kCount };

// "debug", "info", "warning" or "error" (any case); false: not one of them, and nothing changed.
bool set_log_level(std::string_view name);
void log_line(LogLevel, std::string_view room, std::string_view message);
// Waits until stderr has every line, at most so long. False: it has not. The end of a process by exit() waits, too.
bool flush_log(double seconds);

// absl's own string_view is not the standard one in every build of it.
template <typename Part>
const Part& log_part(const Part& part) {
  return part;
}
inline absl::string_view log_part(const std::string_view& part) { return {part.data(), part.size()}; }

template <typename... Parts>
void log_debug(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kDebug, room, absl::StrCat(log_part(parts)...));
}
template <typename... Parts>
void log_info(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kInfo, room, absl::StrCat(log_part(parts)...));
}
template <typename... Parts>
void log_warning(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kWarning, room, absl::StrCat(log_part(parts)...));
}
template <typename... Parts>
void log_error(std::string_view room, const Parts&... parts) {
  log_line(LogLevel::kError, room, absl::StrCat(log_part(parts)...));
}

}  // namespace polymath::base
