#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/line_writer.h"

namespace polymath::base {

void check_failed(const char* file, int line, const char* expression) {
  char text[512];
  std::snprintf(text, sizeof(text), "CHECK failed at %s:%d: %s\n", file, line, expression);
  write_raw(text);
  std::abort();
}

}  // namespace polymath::base
