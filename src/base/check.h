#pragma once

// CHECK aborts on a programming error, in release builds too. Bad input is never a CHECK but an absl::Status.

namespace polymath::base {

[[noreturn]] void check_failed(const char* file, int line, const char* expression);

}  // namespace polymath::base

#define CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::polymath::base::check_failed(__FILE__, __LINE__, #expression))
