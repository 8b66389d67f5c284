#pragma once

// CHECK: our own fault, on in release too. Never for what a client, a file or a peer says:
// that is an absl::Status.

namespace polymath::base {

[[noreturn]] void check_failed(const char* file, int line, const char* expression);

}  // namespace polymath::base

#define CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::polymath::base::check_failed(__FILE__, __LINE__, #expression))
