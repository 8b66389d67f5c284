#include "base/log.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "base/line_writer.h"
#include "base/printable.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"

namespace polymath::base {
namespace {

constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                 spdlog::level::err};
constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
static_assert(std::size(kLevels) == static_cast<size_t>(LogLevel::kCount));

constexpr const char* kLoggerName = "polymath";
constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v";
constexpr double kExitSeconds = 0.5;  // that the end of the process waits for lines that stderr does not take

std::string dropped_line(uint64_t n_lines) {
  const std::string text = absl::StrCat("log: ", n_lines, " lines were dropped: stderr took none for a time");
  spdlog::memory_buf_t line;
  spdlog::pattern_formatter formatter(kPattern, spdlog::pattern_time_type::utc);
  formatter.format(spdlog::details::log_msg(kLoggerName, spdlog::level::warn, text), line);
  return std::string(line.data(), line.size());
}

// Never destroyed: threads may log until the process ends.
LineWriter& writer() {
  static auto* const instance = [] {
    auto* made = new LineWriter({.dropped = dropped_line});
    std::atexit([] { writer().flush(kExitSeconds); });
    return made;
  }();
  return *instance;
}

class WriterSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    writer().write({line.data(), line.size()});
  }
  void flush_() override {}
};

spdlog::logger& logger() {
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger(kLoggerName, std::make_shared<WriterSink>());
    made->set_pattern(kPattern, spdlog::pattern_time_type::utc);
    return made;
  }();
  return *instance;
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
  logger().log(spd, "{}: {}", room, printable(message));
}

bool flush_log(double seconds) { return writer().flush(seconds); }

}  // namespace polymath::base
