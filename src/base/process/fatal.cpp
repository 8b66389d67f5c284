#include "base/process/fatal.h"

#include <cstdlib>
#include <exception>

#include "base/line_writer.h"
#include "base/log.h"

namespace polymath::base {
namespace {

constexpr double kLogSeconds = 0.5;

}  // namespace

void end_process(int code) {
  flush_log(kLogSeconds);
  std::_Exit(code);
}

void fatal(std::string_view room, std::string_view sentence) {
  try {
    log_error(room, sentence);
    flush_log(kLogSeconds);
  } catch (const std::exception&) {  // no memory for the line
    for (const std::string_view part : {std::string_view("polymath: "), sentence, std::string_view("\n")}) {
      write_raw(part);
    }
  }
  std::_Exit(kExitFatal);
}

}  // namespace polymath::base
