#include "base/log.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace polymath::base {
namespace {

constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                 spdlog::level::err};
constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
static_assert(std::size(kLevels) == static_cast<size_t>(LogLevel::kCount));

spdlog::logger& logger() {
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger("polymath", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v", spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

std::string escape_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

bool set_log_level(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (absl::EqualsIgnoreCase(absl::string_view(name.data(), name.size()),
                               absl::string_view(kNames[i].data(), kNames[i].size()))) {
      logger().set_level(kLevels[i]);
      return true;
    }
  }
  return false;
}

void log_line(LogLevel level, std::string_view room, std::string_view message) {
  const auto spd = kLevels[static_cast<size_t>(level)];
  if (!logger().should_log(spd)) return;
  logger().log(spd, "{}: {}", room, escape_controls(message));
}

}  // namespace polymath::base
